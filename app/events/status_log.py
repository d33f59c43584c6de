"""Detection of status transitions in published updates."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.events.subscription import Update
from app.limits.lru_cache import BoundedCache
from app.logs import facts
from app.tasks.view import timestamp

log = logging.getLogger(__name__)

MAX_REMEMBERED_TASKS = 50_000  # tasks whose status is cached
OLD = 60.0  # seconds after a task's end; a later first sight of it is no transition


@dataclass(frozen=True, slots=True)
class Transition:
    task_id: str
    before: str | None  # None if this process had not seen the task
    after: str
    why: str | None  # an error code, never a text, which may be private
    task: Mapping[str, Any]


class StatusLog:
    """Logs each transition and calls `tell` with it."""

    def __init__(self, tell: Callable[[Transition], None]) -> None:
        self._tell = tell
        self._known: BoundedCache[str, str] = BoundedCache(MAX_REMEMBERED_TASKS)

    def look_at(self, update: Update) -> None:
        """Log the update if it changes the status of its task."""
        if update.type != "status":
            return
        after, before = update.data["status"], self._known.get(update.task_id)
        if after == before:
            return
        self._known.put(update.task_id, after)
        if before is None and after != "expired" and _is_old(update.data):
            return  # an old end that was published again
        transition = Transition(update.task_id, before, after, why(update.data), update.data)
        told = {"task_id": update.task_id, "from": before, "to": after, "why": transition.why}
        log.info("task %s", after, extra=facts(**told, server=update.data["server"]))
        self._tell(transition)


def seconds_between(earlier: str | None, later: str | None) -> float | None:
    """Return the seconds between two timestamps in the JSON format of tasks."""
    if earlier is None or later is None:
        return None
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def _is_old(task: Mapping[str, Any]) -> bool:
    return (seconds_between(task["finished_at"], timestamp(time.time())) or 0) > OLD


def why(task: Mapping[str, Any]) -> str | None:
    """Return the cause of the status: the error code, or the outcome of the last attempt."""
    if task["error"]:
        return str(task["error"]["code"])
    attempts = task["attempts"]
    return attempts[-1]["outcome"] if attempts and task["status"] == "queued" else None
