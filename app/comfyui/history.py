"""State of a prompt in ComfyUI's queue and history. Pure."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Self, TypeVar

from app.comfyui import wire
from app.comfyui.cleaning import name_of
from app.comfyui.events import (
    Event,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    decode_message,
)

T = TypeVar("T")

LONGEST_RUN = 30 * 86400.0  # seconds; a longer run time means that the server's clock is wrong


class PromptState(Enum):
    PENDING = "pending"
    RUNNING = "running"
    FINISHED = "finished"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """A finished prompt.

    The end is read from `messages`, as status_str is "error" for an interrupt, and "success" for a
    cycle found at run time.
    """

    outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    error: ExecutionError | None = None
    interrupted: ExecutionInterrupted | None = None
    cached: frozenset[str] = frozenset()  # nodes that were not executed
    started_at: float | None = None  # Unix timestamp by the server's clock
    finished_at: float | None = None
    raw: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)  # as it was read

    @property
    def seconds(self) -> float | None:
        """How long the prompt ran."""
        if self.started_at is None or self.finished_at is None:
            return None
        seconds = max(self.finished_at - self.started_at, 0.0)
        return seconds if seconds < LONGEST_RUN else None

    @classmethod
    def read(cls, entry: dict[str, Any]) -> Self:
        status = entry.get("status")
        status = status if isinstance(status, dict) else {}
        messages = status.get("messages")
        events = [_event(message) for message in (messages if isinstance(messages, list) else ())]
        error = _first(events, ExecutionError)
        interrupted = _first(events, ExecutionInterrupted)
        if error is None and interrupted is None and status.get("status_str") == "error":
            error = ExecutionError("", None, None, "Error", "ComfyUI gives no reason.")
        start = _first(events, ExecutionStart)
        cached = _first(events, ExecutionCached)
        end = error or interrupted or _first(events, ExecutionSuccess)
        return cls(
            outputs=_outputs(entry.get("outputs")),
            error=error,
            interrupted=interrupted,
            cached=frozenset(cached.nodes) if cached else frozenset(),
            started_at=_seconds(start.timestamp if start else None),
            finished_at=_seconds(end.timestamp if end else None),
            raw=entry,
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """The state of a prompt, with its history entry if it is finished."""

    state: PromptState
    entry: HistoryEntry | None = None


_JOB_STATES = {"pending": PromptState.PENDING, "in_progress": PromptState.RUNNING}


def state_of_job(body: bytes) -> PromptState | None:
    """Return the state in an answer of GET /api/jobs/{id}; None if it cannot be parsed."""
    try:
        job = wire.loads(body)
    except ValueError:
        return None
    status = job.get("status") if isinstance(job, dict) else None
    return _JOB_STATES.get(str(status), PromptState.FINISHED)


def _outputs(value: Any) -> dict[str, dict[str, Any]]:
    """Return the outputs by node id, without malformed ones."""
    found = value if isinstance(value, dict) else {}
    return {
        name_of(node_id): output for node_id, output in found.items() if isinstance(output, dict)
    }


def _event(message: Any) -> Event | None:
    if isinstance(message, list) and len(message) == 2:
        return decode_message(str(message[0]), message[1])
    return None


def _first(events: list[Any], kind: type[T]) -> T | None:
    return next((event for event in events if isinstance(event, kind)), None)


def _seconds(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
