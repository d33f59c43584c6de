"""What a process remembers for the clients of ComfyUI's own protocol, which poll."""

from dataclasses import dataclass, field

from app.db.native_tasks import Ended
from app.limits.lru_cache import BoundedCache

ROWS, ENTRIES, ANSWERS, JOBS = 16 << 20, 32 << 20, 32 << 20, 16 << 20  # bytes
WORKFLOWS = 10_000  # ids

Answer = tuple[tuple[Ended, ...], bytes]  # the entries in it


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


@dataclass(frozen=True, slots=True)
class NativeMemory:
    """Encoded JSON of what does not change any more.

    `rows` of tasks as in /queue, by task id and creation time; `entries` of the history; `answers`:
    each caller's whole history with what it shows, by its key's name. `jobs`: ended ones, in their
    short form; `workflows`: the ids of the page's workflows as JSON, as `rows`.
    """

    rows: BoundedCache[tuple[str, float], bytes] = field(default_factory=_rows)
    entries: BoundedCache[Ended, bytes] = field(default_factory=_entries)
    answers: BoundedCache[str | None, Answer] = field(default_factory=_answers)
    jobs: BoundedCache[Ended, bytes] = field(default_factory=_jobs)
    workflows: BoundedCache[tuple[str, float], str] = field(default_factory=_workflows)
