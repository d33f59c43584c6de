"""What ComfyUI tells of a prompt, made from a task. Pure.

A row is [number, id, prompt, extra_data, outputs_to_execute]. Messages are of `status` in the
history: [[type, data], ...], with the keys of ComfyUI 0.33.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from app.db.native_tasks import NativeTask
from app.db.prompts import whole
from app.limits.json_types import Json
from app.tasks.model import CancelReason, Output, Status, Task, TaskError
from app.tasks.native import NativeResult
from app.tasks.native_names import named_for_clients

SUCCESS, ERROR, INTERRUPTED = "execution_success", "execution_error", "execution_interrupted"
START, CACHED = "execution_start", "execution_cached"
Message = list[Any]

# What ComfyUI's own nodes call the kinds of results
_KINDS = {"image": "images"}
_CANCELED = TaskError("canceled", "The task was canceled.")


def number_of(number: float) -> float:
    """Return a queue number as ComfyUI writes its own: whole ones without a point."""
    return int(number) if number.is_integer() else number


def row_of(found: NativeTask) -> list[Any]:
    """Return the row of a task in /queue and /history."""
    native = found.task.native
    number = number_of(native.number) if native else 0
    prompt = {**found.asked.left_out, **whole(found.parts)}
    return [number, found.task.task_id, prompt, extra_of(found), found.asked.outputs_to_execute]


def short_row(number: float, task_id: str, client_id: str | None, created_at: float) -> list[Any]:
    """Return a row without the prompt, for the far end of a long queue."""
    return [number_of(number), task_id, {}, _with_times({}, client_id, created_at), []]


def extra_of(found: NativeTask) -> Json:
    """Return extra_data as ComfyUI shows it: without secrets, with its client and time."""
    stored: Json = (found.parts.extra or {}).get("extra_data") or {}
    client_id = found.task.native.client_id if found.task.native else None
    return _with_times(stored, client_id, found.task.created_at)


def _with_times(extra: Json, client_id: str | None, created_at: float) -> Json:
    client = {} if client_id is None else {"client_id": client_id}
    return {**extra, **client, "create_time": int(created_at * 1000)}


def entry_of(found: NativeTask) -> Json:
    """Return the entry of an ended task in the history."""
    return {
        "prompt": row_of(found),
        "outputs": outputs_of(found),
        "status": status_of(found),
        "meta": found.result.meta if found.result else {},
    }


def status_of(found: NativeTask) -> Json:
    """Return `status` of an ended task in the history."""
    done = found.task.status is Status.SUCCEEDED
    return {
        "status_str": "success" if done else "error",
        "completed": done,
        "messages": messages_of(found),
    }


def outputs_of(found: NativeTask) -> Json:
    """Return the outputs of the nodes, whose files are named so that /view finds them."""
    outputs = found.result.outputs if found.result else _rebuilt(found.task.outputs)
    named: Json = named_for_clients(found.task.task_id, outputs)
    return named


def _rebuilt(outputs: Sequence[Output]) -> Json:
    """Return outputs as ComfyUI has them, from results as they are kept."""
    nodes: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
    for one in outputs:
        told: Any = one.text
        if one.filename is not None:
            told = {"filename": one.filename, "subfolder": one.subfolder, "type": one.type}
        nodes[one.node_id][_KINDS.get(one.kind, one.kind)].append(told)
    return {node_id: dict(kinds) for node_id, kinds in nodes.items()}


def messages_of(found: NativeTask) -> list[Message]:
    """Return the messages of an ended task: the server's, if they tell its end as it is."""
    return messages_about(found.task, found.result)


def messages_about(task: Task, result: NativeResult | None) -> list[Message]:
    told = [list(message) for message in result.messages] if result else []
    wanted = _end_kind(task)
    if told and (task.status is Status.SUCCEEDED or wanted in {message[0] for message in told}):
        return told
    begun = [message for message in told if message[0] in (START, CACHED)]
    return [*(begun or _begun(task)), end_of(task)]


def end_of(task: Task) -> Message:
    """Return the message that tells the end of a task, made from the task alone."""
    kind, error = _end_kind(task), task.error or _CANCELED
    if kind == SUCCESS:
        return _success(task)
    about: Json = {
        "prompt_id": task.task_id,
        "node_id": error.node_id or "",
        "node_type": error.class_type or "",
        "executed": list(task.progress.node_seconds),
    }
    at = {"timestamp": _ms(task.finished_at)}
    if kind == INTERRUPTED:
        return [INTERRUPTED, {**about, **at}]
    why: Json = {
        "exception_message": error.message,
        "exception_type": error.code,
        "traceback": list(error.traceback),
        "current_inputs": {},
        "current_outputs": [],
    }
    return [ERROR, {**about, **why, **at}]


def _end_kind(task: Task) -> str:
    """Return the type of the message about the end; a timeout is an error."""
    if task.status is Status.SUCCEEDED:
        return SUCCESS
    is_timeout = task.cancel_reason is CancelReason.TIMEOUT
    return INTERRUPTED if task.status is Status.CANCELED and not is_timeout else ERROR


def _begun(task: Task) -> list[Message]:
    begun = _ms(task.started_at or task.finished_at)
    about = {"prompt_id": task.task_id, "timestamp": begun}
    return [[START, about], [CACHED, {"nodes": [], **about}]]


def _success(task: Task) -> Message:
    return [SUCCESS, {"prompt_id": task.task_id, "timestamp": _ms(task.finished_at)}]


def _ms(seconds: float | None) -> int:
    return int((seconds or 0) * 1000)
