"""API keys that clients send with tasks for nodes that call paid services.

They are held in the memory of the process that accepted the submit until the task ends, and are
never written to the database, the log or an error.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial

from app.comfyui.cleaning import CUT_MARK
from app.db.tasks import TaskRepository
from app.errors import GatewayError
from app.limits.periodic import every
from app.tasks.model import NewTask, Task, TaskError
from app.tasks.outcome import Outcome, reworded
from app.workflows.secret_values import Secrets, texts_of

CLEANUP_INTERVAL = 60.0  # seconds between checks of all keys: another process may end a task
HIDDEN = "***"
MIN_TELLING_CHARACTERS = 4  # minimum length of a key to be searched for in texts
LIKE_A_KEY = re.compile(r"[A-Za-z0-9_-]{20,}")
KEY_GONE = TaskError(
    "api_key_gone",
    "The task came with an API key, which was in the memory of a gateway process only and is gone. "
    "Submit the workflow again, with its key.",
)


class PaidNodeKeys:
    """Keys of paid nodes by task_id."""

    def __init__(self) -> None:
        self._keys: dict[str, Secrets] = {}  # as they appear in extra_data
        # Tasks being queued: their absence from the database is not their end
        self._coming: set[str] = set()
        self._to_look_at: set[str] = set()
        self._wake = asyncio.Event()

    def __repr__(self) -> str:
        return f"<{len(self._keys)} keys>"

    @contextmanager
    def queueing(self, new: Iterable[NewTask]) -> Iterator[None]:
        """Hold the keys of tasks that are queued in the block.

        Keys of refused tasks are dropped. After any other error it is unknown whether the tasks
        were stored, so the next check decides. Clients may choose ids: an existing key of the same
        id is kept until the new task is stored.
        """
        given = {task.task_id: task.secrets for task in new if task.secrets}
        coming = {task_id: keys for task_id, keys in given.items() if task_id not in self._keys}
        self._keys.update(coming)
        self._coming |= coming.keys()
        try:
            yield
            self._keys.update(given)
        except GatewayError:
            self.drop(id_ for id_, keys in coming.items() if self._keys.get(id_) is keys)
            raise
        finally:
            self._coming -= coming.keys()

    def drop(self, task_ids: Iterable[str]) -> None:
        """Drop the keys of tasks that have ended or were not queued."""
        for task_id in task_ids:
            self._keys.pop(task_id, None)

    def extra_data(self, task: Task) -> Secrets | None:
        """Return the keys to send with the prompt; None if the task's keys are gone."""
        return self._keys.get(task.task_id, None if task.needs_paid_node_key else {})

    def without(self, task: Task, outcome: Outcome) -> Outcome:
        """Return the outcome with the keys removed from ComfyUI's texts."""
        return reworded(outcome, lambda text: self.hidden(task, text))

    def hidden(self, task: Task, text: str) -> str:
        """Return a text of ComfyUI without the keys or, if they are gone, without lookalikes."""
        if not task.needs_paid_node_key:
            return text
        keys = self._keys.get(task.task_id)
        if keys is None:
            return LIKE_A_KEY.sub(HIDDEN, text)
        for key in sorted(_as_said(keys), key=len, reverse=True):
            text = _without(key, text)
        return text

    def look_at(self, task_id: str) -> None:
        """Schedule a check of a task that may have ended."""
        if task_id in self._keys:
            self._to_look_at.add(task_id)
            self._wake.set()

    async def run(self, store: TaskRepository) -> None:
        """Drop the keys of tasks that have ended, until cancelled.

        Tasks passed to `look_at` are checked at once, all tasks every CLEANUP_INTERVAL seconds.
        """
        look = partial(self._look, store)
        await every(CLEANUP_INTERVAL, look, "dropping the keys of ended tasks", self._wake)

    async def _look(self, store: TaskRepository) -> None:
        task_ids = (self._to_look_at or set(self._keys)) - self._coming
        self._to_look_at = set()
        ends = await store.ends(task_ids)
        # True also if the task was deleted
        self.drop(task_id for task_id in task_ids if ends.get(task_id, True))


def _as_said(keys: Secrets) -> set[str]:
    """Return the keys verbatim, and as escaped by JSON and by Python's repr."""
    found = {key for key in texts_of(keys) if len(key) >= MIN_TELLING_CHARACTERS}
    return found | {form for key in found for form in (json.dumps(key)[1:-1], repr(key)[1:-1])}


def _without(key: str, text: str) -> str:
    """Return the text without the key, and without a prefix of it where the text was truncated."""
    text = text.replace(key, HIDDEN)
    if CUT_MARK in text:
        for length in range(len(key) - 1, MIN_TELLING_CHARACTERS - 1, -1):
            text = text.replace(key[:length] + CUT_MARK, HIDDEN + CUT_MARK)
    return text
