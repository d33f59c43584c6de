"""How a run ended, and what that makes of the task. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from app.comfyui.events import ExecutionError
from app.comfyui.history import HistoryEntry
from app.comfyui.memory_errors import is_out_of_memory
from app.errors import ComfyUnreachable, GatewayError, PromptRejected
from app.limits.json_types import Json
from app.tasks.model import Attempt, CancelReason, Output, Status, Task, TaskError, fields_of
from app.workflows.requirements import Needs

FORGOTTEN = "prompt_forgotten"
MOST_ATTEMPTS = 20  # of one task, whatever they came to; or as many times five as it may run
NAMES = ("code", "node_id", "class_type")  # of an error: these are ours, or the workflow's own


@dataclass(frozen=True, slots=True)
class Succeeded:
    status: ClassVar[Status] = Status.SUCCEEDED
    word: ClassVar[str] = "succeeded"
    reason: ClassVar[str | None] = None
    error: ClassVar[TaskError | None] = None


@dataclass(frozen=True, slots=True)
class Canceled:
    """`error` tells of a cancel that the submitter did not ask for: a timeout, a stranger."""

    error: TaskError | None = None
    status: ClassVar[Status] = Status.CANCELED
    word: ClassVar[str] = "canceled"

    @property
    def reason(self) -> str | None:
        return self.error.message if self.error else None


@dataclass(frozen=True, slots=True)
class Failed:
    """`retryable`: the same might go well another time; `refused`: another server might take it;
    `not_taken`: so it might, as the server did not say anything of the prompt."""

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
    """The server went away, or came back without the prompt."""

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
    """Taken off the server before it ran, to run elsewhere; `to`: where others may take it."""

    reason: str
    to: Needs | None = field(default=None, repr=False)
    status: ClassVar[Status] = Status.QUEUED
    word: ClassVar[str] = "moved"
    error: ClassVar[TaskError | None] = None


Outcome = Succeeded | Canceled | Failed | Lost | Moved


def outcome_of(error: Exception) -> Outcome:
    """What an error that ended a run makes of the task."""
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
            # Not in its own words: they may repeat what they met, whosever it is.
            said = f"The gateway failed ({type(error).__name__}); its log has the reason."
            return Failed(TaskError("internal_error", said))


def reworded(outcome: Outcome, change: Callable[[str], str]) -> Outcome:
    """The same with all texts of ComfyUI's in its error changed."""
    if not isinstance(outcome, Failed | Canceled) or not (error := outcome.error):
        return outcome
    said = {name: value for name, value in fields_of(error).items() if name not in NAMES}
    return replace(outcome, error=replace(error, **_reworded(said, change)))


def _reworded(value: Any, change: Callable[[str], str]) -> Any:
    """A JSON value with all texts in it changed, but not the names of members."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _reworded(item, change) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_reworded(item, change) for item in value)
    return value


def forgotten(server_id: str) -> Lost:
    """The end of a try of which the server knows nothing, though it was there all the time."""
    said = f"{server_id} took the prompt, and knows nothing of it, though it was not restarted."
    return Lost(FORGOTTEN, f"{said} See its log, and what stands between it and the gateway.")


def times(word: str, attempts: Sequence[Attempt]) -> int:
    """How many of them had this outcome."""
    return sum(attempt.outcome == word for attempt in attempts)


def bounded(outcome: Outcome, attempts: Sequence[Attempt], max_attempts: int) -> Outcome:
    """The outcome; of a task that went from server to server too often, that it is lost."""
    if isinstance(outcome, Moved) and _too_many(attempts, max_attempts):
        said = f"The task was taken off its servers too often: {len(attempts)} attempts."
        return Lost("server_removed", f"{said} The last time: {outcome.reason}")
    return outcome


def _too_many(attempts: Sequence[Attempt], max_attempts: int) -> bool:
    return len(attempts) >= max(MOST_ATTEMPTS, 5 * max_attempts)


def unwritable(reason: str) -> Failed:
    """The end of a task of which something cannot be stored."""
    text = f"What came of the task cannot be stored: {reason}"
    return Failed(TaskError("unwritable_result", text))


# Ends that may be others on a second try: once each, and not for the graph's sake.
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
    """What never ran goes back into the queue freely; what ran has its tries, where there is hope
    in another one. What a server took and forgot counts as a run, and there is a bound for all
    attempts together. `attempts`: with the one that ended now.

    `elsewhere`: another server could take it. `doubtful`: the server is on trial, so that a
    failure there says nothing about the task.
    """
    if isinstance(outcome, Lost) and task.status is Status.CANCELING:
        return True
    if isinstance(outcome, Failed) and (outcome.refused or outcome.not_taken):
        # Nothing ran; and no server is asked twice before all others were.
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
    """What a finished prompt's history makes of its task."""
    if entry.error is not None:
        error = _execution_error(entry.error, prompt or {})
        return Failed(error, retryable=error.code == "out_of_memory")
    if entry.interrupted is not None:
        return Canceled(interruption(task))
    if missing and task.status is Status.CANCELING:
        return Canceled(interruption(task))  # nobody waits for them
    if missing:
        names = ", ".join(output.filename or f"of node {output.node_id}" for output in missing[:10])
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        error = TaskError(
            "output_unavailable",
            f"ComfyUI finished, but results cannot be fetched: {names}{more}.",
            node_id=missing[0].node_id,
            class_type=_class_of(missing[0].node_id, prompt or {}),
        )
        # A node that ComfyUI answered from its cache names files that may be gone since.
        cached = all(output.node_id in entry.cached for output in missing)
        return Failed(error, retryable=cached)
    return Succeeded()


def _execution_error(error: ExecutionError, prompt: Json) -> TaskError:
    """Whatever its kind: the node, the node's class, ComfyUI's class of error and its message."""
    kind, message = error.exception_type, error.exception_message
    return TaskError(
        code="out_of_memory" if is_out_of_memory(kind, message) else "execution_error",
        message=f"{kind}: {message}" if message else f"{kind}, without a message.",
        node_id=error.node_id,
        class_type=error.node_type or _class_of(error.node_id, prompt),
        traceback=error.traceback,
    )


def _class_of(node_id: str | None, prompt: Json) -> str | None:
    """Of a node of the prompt, or of the one that expanded into it (`3.0.0.1`: 3)."""
    while node_id and node_id not in prompt:
        node_id = node_id.rpartition(".")[0]
    return prompt[node_id]["class_type"] if node_id else None


def interruption(task: Task) -> TaskError | None:
    if task.cancel_reason is CancelReason.TIMEOUT:
        return TaskError("timeout", f"The task ran longer than its timeout of {task.timeout} s.")
    if task.cancel_reason is None:
        return TaskError("interrupted", "Somebody interrupted the prompt on its server directly.")
    return None
