"""How a run ended, and what that makes of the task. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from app.comfyui.history import HistoryEntry
from app.errors import ComfyUnreachable, GatewayError, PromptRejected
from app.tasks.model import CancelReason, Output, Status, Task, TaskError

OUT_OF_MEMORY = ("OutOfMemoryError", "CUDA out of memory")


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
    error: TaskError
    status: ClassVar[Status] = Status.FAILED
    word: ClassVar[str] = "failed"

    @property
    def reason(self) -> str:
        return self.error.message


@dataclass(frozen=True, slots=True)
class Lost:
    """The server went away, or came back without the prompt."""

    code: str
    reason: str
    status: ClassVar[Status] = Status.FAILED
    word: ClassVar[str] = "lost"

    @property
    def error(self) -> TaskError:
        return TaskError(self.code, f"{self.reason} A retry runs the task again.")


Outcome = Succeeded | Canceled | Failed | Lost


def outcome_of(error: Exception) -> Outcome:
    """What an error that ended a run makes of the task."""
    match error:
        case ComfyUnreachable():
            return Lost("server_lost", error.detail)
        case PromptRejected():
            node_errors = error.extra.get("node_errors")
            return Failed(TaskError(error.code, error.detail, node_errors=node_errors))
        case GatewayError():
            return Failed(TaskError(error.code, error.detail))
        case _:
            return Failed(TaskError("internal_error", f"The gateway failed: {error!r}."))


def may_try_again(
    task: Task, lost: Lost, attempts: int, max_attempts: int, *, elsewhere: bool
) -> bool:
    """What never ran, or was asked to stop, goes back freely; what ran has its tries, where
    there is a server for another one: this one, if it is back, or `elsewhere`."""
    if task.status is Status.CANCELING or task.started_at is None:
        return True
    return attempts < max_attempts and (elsewhere or lost.code == "server_restarted")


def judge(entry: HistoryEntry, task: Task, missing: Sequence[Output]) -> Outcome:
    """What a finished prompt's history makes of its task."""
    if entry.error is not None:
        return Failed(_execution_error(entry))
    if entry.interrupted is not None:
        return Canceled(_interruption(task))
    if missing:
        names = ", ".join(output.filename or f"of node {output.node_id}" for output in missing)
        return Failed(
            TaskError(
                "output_unavailable",
                f"ComfyUI finished, but results cannot be fetched: {names}. "
                "It may have answered from its cache with files that were deleted since: change "
                "the seed, or call POST /api/system/free with free_memory first.",
                node_id=missing[0].node_id,
            )
        )
    return Succeeded()


def _execution_error(entry: HistoryEntry) -> TaskError:
    error = entry.error
    assert error is not None
    memory = any(
        word in f"{error.exception_type} {error.exception_message}" for word in OUT_OF_MEMORY
    )
    return TaskError(
        code="out_of_memory" if memory else "execution_error",
        message=f"{error.exception_type}: {error.exception_message}",
        node_id=error.node_id,
        class_type=error.node_type,
        traceback=error.traceback,
    )


def _interruption(task: Task) -> TaskError | None:
    if task.cancel_reason is CancelReason.TIMEOUT:
        return TaskError("timeout", f"The task ran longer than its timeout of {task.timeout} s.")
    if task.cancel_reason is None:
        return TaskError("interrupted", "Somebody interrupted the prompt on its server directly.")
    return None
