"""Outcomes of runs, and the resulting state of the task. Pure."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from app.comfyui.cleaning import cut
from app.comfyui.events import ExecutionError
from app.comfyui.history import HistoryEntry
from app.comfyui.memory_errors import is_out_of_memory
from app.errors import ComfyUnreachable, GatewayError, PromptRejected
from app.limits import text_lengths
from app.limits.json_types import Json
from app.tasks.model import Attempt, CancelReason, Output, Status, Task, TaskError, fields_of
from app.workflows.requirements import Needs

FORGOTTEN = "prompt_forgotten"
# Attempts of one task of any outcome, or five times the allowed runs if that is more
MOST_ATTEMPTS = 20
NAMES = ("code", "node_id", "class_type")  # fields of an error that contain no text of ComfyUI


@dataclass(frozen=True, slots=True)
class Succeeded:
    status: ClassVar[Status] = Status.SUCCEEDED
    word: ClassVar[str] = "succeeded"
    reason: ClassVar[str | None] = None
    error: ClassVar[TaskError | None] = None


@dataclass(frozen=True, slots=True)
class Canceled:
    """`error` is set for a cancel that the submitter did not request: a timeout, another client."""

    error: TaskError | None = None
    status: ClassVar[Status] = Status.CANCELED
    word: ClassVar[str] = "canceled"

    @property
    def reason(self) -> str | None:
        return self.error.message if self.error else None


@dataclass(frozen=True, slots=True)
class Failed:
    """`retryable`: a retry may succeed; `refused`: another server may accept the prompt.

    `not_taken`: the server did not judge the prompt, so that any server may accept it.
    """

    error: TaskError
    retryable: bool = False
    refused: bool = False
    not_taken: bool = False
    status: ClassVar[Status] = Status.FAILED

    @property
    def word(self) -> str:
        if self.refused:
            return "refused"
        if self.not_taken:
            return "not_taken"
        return self.error.code if self.error.code in SECOND_TRIES else "failed"

    @property
    def reason(self) -> str:
        return self.error.message


@dataclass(frozen=True, slots=True)
class Lost:
    """The server was lost, or came back without the prompt."""

    code: str
    reason: str
    status: ClassVar[Status] = Status.FAILED

    @property
    def word(self) -> str:
        return "forgotten" if self.code == FORGOTTEN else "lost"

    @property
    def error(self) -> TaskError:
        return TaskError(self.code, f"{self.reason} A retry runs the task again.")


@dataclass(frozen=True, slots=True)
class Moved:
    """Taken off the server before it ran; `to`: requirements for the next server."""

    reason: str
    to: Needs | None = field(default=None, repr=False)
    status: ClassVar[Status] = Status.QUEUED
    word: ClassVar[str] = "moved"
    error: ClassVar[TaskError | None] = None


Outcome = Succeeded | Canceled | Failed | Lost | Moved


def outcome_of(error: Exception) -> Outcome:
    """Return the outcome for an exception that ended a run."""
    match error:
        case ComfyUnreachable():
            return Lost("server_lost", error.detail)
        case PromptRejected():
            node_errors = error.extra.get("node_errors")
            refusal = TaskError(error.code, error.detail, node_errors=node_errors)
            return Failed(refusal, refused=True)
        case GatewayError():
            return Failed(TaskError(error.code, error.detail))
        case _:
            # The exception's own text may contain data of other users.
            said = f"The gateway failed ({type(error).__name__}); its log has the reason."
            return Failed(TaskError("internal_error", said))


def reworded(outcome: Outcome, change: Callable[[str], str]) -> Outcome:
    """Return the outcome with `change` applied to all texts of ComfyUI in its error."""
    if not isinstance(outcome, Failed | Canceled) or not (error := outcome.error):
        return outcome
    said = {name: value for name, value in fields_of(error).items() if name not in NAMES}
    return replace(outcome, error=replace(error, **_reworded(said, change)))


def _reworded(value: Any, change: Callable[[str], str]) -> Any:
    """Apply `change` to all texts in a JSON value, except names of members."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _reworded(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_reworded(item, change) for item in value)
    return value


def forgotten(server_id: str) -> Lost:
    """Return the outcome of an attempt that the server forgot without being restarted."""
    said = f"{server_id} took the prompt, and knows nothing of it, though it was not restarted."
    return Lost(FORGOTTEN, f"{said} See its log, and what stands between it and the gateway.")


def closed(attempts: Sequence[Attempt], outcome: Outcome, *, ran: bool) -> Sequence[Attempt]:
    """Return the attempts with the last one ended by `outcome` now, unless it has ended already."""
    if not attempts or attempts[-1].ended_at is not None:
        return attempts
    *before, last = attempts
    reason = outcome.reason and cut(outcome.reason, text_lengths.REASON)
    end = replace(last, ended_at=time.time(), outcome=outcome.word, reason=reason, ran=ran)
    return [*before, end]


def times(word: str, attempts: Sequence[Attempt]) -> int:
    """Return how many attempts had this outcome."""
    return sum(attempt.outcome == word for attempt in attempts)


def bounded(outcome: Outcome, attempts: Sequence[Attempt], max_attempts: int) -> Outcome:
    """Return the outcome, or Lost if the task was moved between servers too often."""
    if isinstance(outcome, Moved) and _too_many(attempts, max_attempts):
        said = f"The task was taken off its servers too often: {len(attempts)} attempts."
        return Lost("server_removed", f"{said} The last time: {outcome.reason}")
    return outcome


def _too_many(attempts: Sequence[Attempt], max_attempts: int) -> bool:
    return len(attempts) >= max(MOST_ATTEMPTS, 5 * max_attempts)


def unwritable(reason: str) -> Failed:
    """Return the outcome of a task whose result cannot be stored."""
    text = f"What came of the task cannot be stored: {reason}"
    return Failed(TaskError("unwritable_result", text))


# Error codes that are retried once, as their cause may not be the graph.
SECOND_TRIES = ("out_of_memory", "output_unavailable")


def may_try_again(
    task: Task,
    outcome: Outcome,
    attempts: Sequence[Attempt],
    max_attempts: int,
    *,
    elsewhere: bool,
    doubtful: bool = False,
) -> bool:
    """Return whether the task goes back into the queue.

    A task that never ran is always queued again. A task that ran has `max_attempts` runs, as long
    as another run may succeed. A prompt that the server forgot counts as a run, and the total of
    all attempts is limited. `attempts` includes the one that ended now.

    `elsewhere`: another server could take it. `doubtful`: the server is on trial, so that a failure
    there says nothing about the task.
    """
    if isinstance(outcome, Lost) and task.status is Status.CANCELING:
        return True
    if isinstance(outcome, Failed) and (outcome.refused or outcome.not_taken):
        # Nothing ran, and no server is tried twice before all others.
        may_be_taken = outcome.not_taken and times("not_taken", attempts) < max_attempts
        return elsewhere or may_be_taken or task.status is Status.CANCELING
    if _too_many(attempts, max_attempts):
        return False
    if isinstance(outcome, Moved):
        return True
    if isinstance(outcome, Lost):
        if task.started_at is None and outcome.code != FORGOTTEN:
            return True
        hope = elsewhere or outcome.code in ("server_restarted", "server_removed", FORGOTTEN)
    elif isinstance(outcome, Failed):
        code = outcome.error.code
        before = [attempt.outcome for attempt in attempts[:-1]]
        again = code in SECOND_TRIES and outcome.retryable and code not in before
        hope = again or (doubtful and code == "execution_error")
    else:
        return False
    runs = sum(attempt.ran or attempt.outcome == "forgotten" for attempt in attempts)
    return hope and runs < max_attempts and task.status is not Status.CANCELING


def judge(
    entry: HistoryEntry, task: Task, missing: Sequence[Output], prompt: Json | None = None
) -> Outcome:
    """Return the outcome of a finished prompt from its history entry."""
    if entry.error is not None:
        error = _execution_error(entry.error, prompt or {})
        return Failed(error, retryable=error.code == "out_of_memory")
    if entry.interrupted is not None:
        return Canceled(interruption(task))
    if missing and task.status is Status.CANCELING:
        return Canceled(interruption(task))  # nobody waits for the results
    if missing:
        names = ", ".join(output.filename or f"of node {output.node_id}" for output in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        error = TaskError(
            "output_unavailable",
            f"ComfyUI finished, but results cannot be fetched: {names}{more}.",
            node_id=missing[0].node_id,
            class_type=_class_of(missing[0].node_id, prompt or {}),
        )
        # The output of a cached node names files that may have been deleted since.
        cached = all(output.node_id in entry.cached for output in missing)
        return Failed(error, retryable=cached)
    return Succeeded()


def _execution_error(error: ExecutionError, prompt: Json) -> TaskError:
    """Return the error with the node, its class, ComfyUI's exception type and message."""
    kind, message = error.exception_type, error.exception_message
    return TaskError(
        code="out_of_memory" if is_out_of_memory(kind, message) else "execution_error",
        message=f"{kind}: {message}" if message else f"{kind}, without a message.",
        node_id=error.node_id,
        class_type=error.node_type or _class_of(error.node_id, prompt),
        traceback=error.traceback,
    )


def _class_of(node_id: str | None, prompt: Json) -> str | None:
    """Return the class of a node, or of the node that expanded into it (`3.0.0.1`: 3)."""
    while node_id and node_id not in prompt:
        node_id = node_id.rpartition(".")[0]
    return prompt[node_id]["class_type"] if node_id else None


def interruption(task: Task) -> TaskError | None:
    if task.cancel_reason is CancelReason.TIMEOUT:
        return TaskError("timeout", f"The task ran longer than its timeout of {task.timeout} s.")
    if task.cancel_reason is None:
        return TaskError("interrupted", "Somebody interrupted the prompt on its server directly.")
    return None
