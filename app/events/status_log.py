"""Detection of status transitions in what is published of tasks."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.limits.lru_cache import BoundedCache
from app.logs import facts
from app.tasks.model import Status, Task

log = logging.getLogger(__name__)

MAX_REMEMBERED_TASKS = 50_000  # tasks whose status is cached
OLD = 60.0  # seconds after a task's end; a later first sight of it is no transition


@dataclass(frozen=True, slots=True)
class Transition:
    before: Status | None  # None if this process had not seen the task
    task: Task

    @property
    def why(self) -> str | None:
        """The cause of the status: the error code, or the outcome of the last attempt. Never a
        text, which may be private."""
        task = self.task
        if task.error:
            return task.error.code
        return task.attempts[-1].outcome if task.attempts and task.status == "queued" else None


class StatusLog:
    """Logs each transition and calls `tell` with it.

    A task makes one line at INFO, for its end, and one for each time that it has to begin anew.
    """

    def __init__(self, tell: Callable[[Transition], None]) -> None:
        self._tell = tell
        self._known: BoundedCache[str, Status] = BoundedCache(MAX_REMEMBERED_TASKS)

    def look_at(self, task: Task) -> None:
        """Log the status of the task if it has changed."""
        before = self._known.get(task.task_id)
        if task.status == before:
            return
        self._known.put(task.task_id, task.status)
        is_expired = task.status is Status.EXPIRED
        if before is None and not is_expired and _is_old(task):
            return  # an old end that was published again
        transition = Transition(before, task)
        is_news = (task.finished and not is_expired) or transition.why is not None
        level = logging.INFO if is_news else logging.DEBUG
        if log.isEnabledFor(level):
            log.log(level, "task %s", task.status, extra=facts(**_told(transition)))
        self._tell(transition)


def _is_old(task: Task) -> bool:
    return task.finished_at is not None and time.time() - task.finished_at > OLD


def _told(transition: Transition) -> dict[str, object]:
    task = transition.task
    return {
        "task_id": task.task_id,
        "from": transition.before,
        "to": task.status,
        "why": transition.why,
        "server": task.server,
        "waited": _seconds(task.created_at, task.started_at),
        "ran": _seconds(task.started_at, task.finished_at),
    }


def _seconds(begin: float | None, end: float | None) -> float | None:
    return None if begin is None or end is None else round(end - begin, 3)
