"""The JSON of a task for polls, lists and streams. Pure."""

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, quote_plus

from app.files.archive import ArchiveEntry
from app.tasks.model import (
    EXPIRED_OUTPUT,
    Attempt,
    CancelReason,
    Output,
    Progress,
    Status,
    Task,
    TaskError,
)
from app.tasks.task_json import (
    AttemptJson,
    OutputJson,
    ProgressJson,
    TaskErrorJson,
    TaskJson,
    TaskProgressJson,
)
from app.tasks.truncation import MAX_STREAM_BYTES, MAX_TEXT_CHARACTERS, shortened


@dataclass(frozen=True, slots=True)
class Expected:
    """The estimate for a task.

    `eta_seconds`: until it is done. `waiting_for`: why it cannot start. `warning`: why its state is
    currently unknown.
    """

    eta_seconds: float | None = None
    waiting_for: str | None = None
    warning: str | None = None


UNKNOWN = Expected()

TOO_LATE = {
    CancelReason.REQUEST: "The cancel came too late: the run was over.",
    CancelReason.TIMEOUT: "The timeout ran out as the run ended: it was not stopped.",
}


def task_view(
    task: Task,
    progress: Progress | None = None,
    expected: Expected = UNKNOWN,
    room: int | None = MAX_STREAM_BYTES,
) -> TaskJson:
    """Return the task as JSON, truncated to `room` bytes; None for no limit.

    `progress` is the live progress, which is newer than the row's.
    """
    view: TaskJson = {
        "task_id": task.task_id,
        "prompt_id": task.task_id,
        "status": task.status,
        "created_at": moment(task.created_at),
        "started_at": timestamp(task.started_at),
        "finished_at": timestamp(task.finished_at),
        "queue_position": task.queue_position.position if task.queue_position else None,
        "eta_seconds": expected.eta_seconds,
        "waiting_for": expected.waiting_for,
        "progress": progress_json(progress or task.progress),
        "outputs": [
            output_view(task.task_id, output, whole=room is None) for output in task.outputs
        ],
        "error": _error(task.error) if task.error else None,
        "server": task.server,
        "params": task.params,
        "metadata": task.metadata,
        "attempts": [_attempt(attempt, task) for attempt in task.attempts],
        "warnings": _warnings(task, expected),
        "priority": task.priority,
        "timeout": task.timeout,
        "workflow": task.filename,
        "retry_of": task.retry_of,
        "batch_id": task.batch_id,
        "client_id": task.native.client_id if task.native else None,
        "webhook": task.webhook,
    }
    if task.cut:
        view["cut"] = dict(task.cut)
    return shortened(view, room)


def progress_view(task: Task, progress: Progress, expected: Expected = UNKNOWN) -> TaskProgressJson:
    """Return the small view for what changes many times per second."""
    view: TaskProgressJson = {
        "task_id": task.task_id,
        "status": task.status,
        "progress": progress_json(progress),
        "queue_position": task.queue_position.position if task.queue_position else None,
        "eta_seconds": expected.eta_seconds,
        "waiting_for": expected.waiting_for,
    }
    return shortened(view, MAX_STREAM_BYTES, progress=0.9)


def output_view(task_id: str, output: Output, *, whole: bool = False) -> OutputJson:
    """Return the JSON of an output.

    `cut` is the length of a truncated text, `copy` the number of equal earlier results.
    """
    view: OutputJson = {"node_id": output.node_id, "kind": output.kind, "type": output.type}
    if output.copy:
        view["copy"] = output.copy
    if output.text is not None:
        length = output.length or len(output.text)
        if length <= (len(output.text) if whole else MAX_TEXT_CHARACTERS):
            return {**view, "text": output.text}
        return {**view, "text": f"{output.text[:MAX_TEXT_CHARACTERS]}…", "cut": {"text": length}}
    return {
        **view,
        "filename": output.filename,
        "subfolder": output.subfolder,
        "url": _url(task_id, output) if output.key else None,
        "content_type": output.content_type,
        "size_bytes": output.size_bytes,
        "hash": output.hash,
        "error": {"code": _code(output), "message": output.error} if output.error else None,
    }


def task_below(view: TaskJson, base_path: str, room: int | None = MAX_STREAM_BYTES) -> TaskJson:
    """Return the JSON of a task, which was truncated to `room`, with its URLs below a path.

    "" is no path. `view` stays as it is.
    """
    if not base_path or not view["outputs"]:
        return view
    outputs = [output_below(output, base_path) for output in view["outputs"]]
    below: TaskJson = {**view, "outputs": outputs}
    return shortened(below, room)


def output_below(view: OutputJson, base_path: str) -> OutputJson:
    """Return the JSON of an output with its URL below a path; `view` stays as it is."""
    url = view.get("url")
    return {**view, "url": f"{base_path}{url}"} if url else view


def entries_of(task: Task) -> list[ArchiveEntry]:
    """Return the task's outputs as entries of an archive."""
    return [
        ArchiveEntry(
            name=output.filename or f"node{output.node_id}.txt",
            key=output.key,
            text=output.text,
            reason=output.error,
        )
        for output in task.outputs
    ]


def moment(seconds: float) -> str:
    """Format a Unix timestamp as ISO 8601 in UTC with milliseconds."""
    whole = math.floor(seconds)
    micros = round((seconds - whole) * 1_000_000)
    if micros == 1_000_000:
        whole, micros = whole + 1, 0
    return f"{_second(whole)}.{micros // 1000:03d}Z"


@lru_cache(maxsize=1024)  # a task's times are near each other, and those of many tasks as well
def _second(whole: int) -> str:
    return datetime.fromtimestamp(whole, UTC).isoformat()[:-6]  # without +00:00


def timestamp(seconds: float | None) -> str | None:
    """Return `moment` of the timestamp, or None."""
    return None if seconds is None else moment(seconds)


def progress_json(progress: Progress) -> ProgressJson:
    return {
        "value": progress.value,
        "nodes_done": progress.nodes_done,
        "nodes_total": progress.nodes_total,
        "current_node": progress.current_node,
        "class_type": progress.class_type,
        "step": progress.step,
        "steps": progress.steps,
        "node_seconds": progress.node_seconds,
    }


def _url(task_id: str, output: Output) -> str:
    url = f"/api/image/{quote(output.filename or '', safe='')}?task_id={quote_plus(task_id)}"
    if output.subfolder:
        url += f"&subfolder={quote_plus(output.subfolder)}"
    if output.type != "output":
        url += f"&type={quote_plus(output.type)}"
    return url


def _warnings(task: Task, expected: Expected) -> list[str]:
    """Return the warnings, with those that apply only now, and with a cancel that came too late.

    The owner may not know of such a cancel when it writes the end.
    """
    if expected.warning is not None:
        return [*task.warnings, expected.warning]
    if task.status not in (Status.SUCCEEDED, Status.FAILED) or task.cancel_reason is None:
        return list(task.warnings)
    return [*task.warnings, TOO_LATE[task.cancel_reason]]


def _code(output: Output) -> str:
    return "expired" if output.error == EXPIRED_OUTPUT else "output_unavailable"


def _attempt(attempt: Attempt, task: Task) -> AttemptJson:
    runs = attempt.ended_at is None and task.started_at is not None
    return {
        "server": attempt.server,
        "started_at": moment(attempt.started_at),
        "ended_at": timestamp(attempt.ended_at),
        "outcome": attempt.outcome,
        "reason": attempt.reason,
        "ran": attempt.ran or runs,
    }


def _error(error: TaskError) -> TaskErrorJson:
    """Return the JSON of an error without unknown fields."""
    found: TaskErrorJson = {"code": error.code, "message": error.message}
    if error.node_id is not None:
        found["node_id"] = error.node_id
    if error.class_type is not None:
        found["class_type"] = error.class_type
    if error.traceback:
        found["traceback"] = list(error.traceback)
    if error.node_errors is not None:
        found["node_errors"] = error.node_errors
    return found
