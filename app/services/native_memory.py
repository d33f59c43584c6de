"""What a process remembers for the clients of ComfyUI's own protocol, which poll."""

import time
from dataclasses import dataclass, field

from app.db.native_tasks import Ended
from app.limits.lru_cache import BoundedCache

ROWS, ENTRIES, ANSWERS, JOBS = 16 << 20, 32 << 20, 32 << 20, 16 << 20  # bytes
WORKFLOWS = 10_000  # ids
CLIENTS = 1000
DELETED_SECONDS = 10.0  # a refused delete is remembered so long

Answer = tuple[tuple[Ended, ...], bytes]  # the entries in it
Tried = tuple[str, float]  # the id of a task, and when


def _rows() -> BoundedCache[tuple[str, float], bytes]:
    return BoundedCache(ROWS, len)


def _entries() -> BoundedCache[Ended, bytes]:
    return BoundedCache(ENTRIES, len)


def _answers() -> BoundedCache[str | None, Answer]:
    return BoundedCache(ANSWERS, lambda answer: len(answer[1]))


def _jobs() -> BoundedCache[Ended, bytes]:
    return BoundedCache(JOBS, len)


def _workflows() -> BoundedCache[tuple[str, float], str]:
    return BoundedCache(WORKFLOWS)


def _tried() -> BoundedCache[tuple[str | None, str], Tried]:
    return BoundedCache(CLIENTS)


@dataclass(frozen=True, slots=True)
class NativeMemory:
    """Encoded JSON of what does not change any more.

    `rows` of tasks as in /queue, by task id and creation time; `entries` of the history; `answers`:
    each caller's whole history with what it shows, by its key's name. `jobs`: ended ones, in their
    short form; `workflows`: the ids of the page's workflows as JSON, as `rows`. `tried`: the
    running task that a client wanted to delete from the queue, by its key's name and origin.
    """

    rows: BoundedCache[tuple[str, float], bytes] = field(default_factory=_rows)
    entries: BoundedCache[Ended, bytes] = field(default_factory=_entries)
    answers: BoundedCache[str | None, Answer] = field(default_factory=_answers)
    jobs: BoundedCache[Ended, bytes] = field(default_factory=_jobs)
    workflows: BoundedCache[tuple[str, float], str] = field(default_factory=_workflows)
    tried: BoundedCache[tuple[str | None, str], Tried] = field(default_factory=_tried)

    def note_tried(self, owner: str | None, origin: str, task_id: str) -> None:
        """Remember that a client wanted to delete a running task."""
        self.tried.put((owner, origin), (task_id, time.monotonic()))

    def take_tried(self, owner: str | None, origin: str) -> str | None:
        """Return the running task that the client has just wanted to delete, once."""
        found = self.tried.get((owner, origin))
        self.tried.discard((owner, origin))
        if found is None or time.monotonic() - found[1] > DELETED_SECONDS:
            return None
        return found[0]
