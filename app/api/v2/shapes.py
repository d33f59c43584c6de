"""Tasks, results and assets as JSON of Comfy API v2. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.api.v2.job_json import (
    AssetJson,
    JobErrorJson,
    JobItemJson,
    JobJson,
    JobOutputJson,
    JobProgressJson,
    JobUrlsJson,
    PreviewEventJson,
    StatusEventJson,
)
from app.events.subscription import Update
from app.files.kinds import Kind
from app.tasks.asset import TEXT_TYPE, Asset, encoded, output_id, text_hash, text_name
from app.tasks.model import Output, Progress, Task, TaskError
from app.tasks.truncation import LIST, shortened
from app.tasks.view import moment, timestamp

# A job's `expires_at` must be a date, even if results are kept for ever.
FOR_EVER = 100 * 365.25 * 24 * 3600.0  # seconds
URL_LIFE = 24 * 3600.0  # seconds for which a URL is guaranteed; it works as long as the file exists
UNKNOWN_TYPE = "application/octet-stream"
_CODES = {"execution_error": "node_execution_error"}


@dataclass(frozen=True, slots=True)
class Here:
    """What the JSON depends on in addition to the task.

    `base` is the URL before /api/v2, `prefix` only its path. `kept`: seconds for which results are
    kept after their task's end, None for ever.
    """

    base: str
    prefix: str
    now: float
    kept: float | None


def job_view(task: Task, progress: Progress | None, here: Here) -> JobJson:
    """Return the whole job; `progress` is the live progress, which is newer than the task's."""
    return {
        "id": task.task_id,
        "status": task.status,
        "created_at": moment(task.created_at),
        "started_at": timestamp(task.started_at),
        "completed_at": timestamp(task.finished_at),
        "expires_at": moment(_expires_at(task, here)),
        "queue_position": task.queue_position.position if task.queue_position else None,
        "progress": progress_view(progress or task.progress),
        "outputs": [view for output in task.outputs if (view := output_view(task, output, here))],
        "error": _error_view(task.error) if task.error else None,
        "metrics": _metrics(task, here.now),
        "metadata": task.metadata,
        "urls": _urls(task.task_id, here),
    }


def item_view(task: Task, progress: Progress | None, here: Here) -> JobItemJson:
    """Return a job for a list: truncated, and with the names that lists have for its times."""
    updated = task.finished_at or task.started_at or task.created_at
    return {
        # which may add "cut":
        **shortened(job_view(task, progress, here), LIST),  # type: ignore[typeddict-item]
        "create_time": moment(task.created_at),
        "update_time": moment(updated),
        "deployment_id": None,
    }


def progress_view(progress: Progress) -> JobProgressJson:
    step, steps = _whole(progress.step), _whole(progress.steps)
    return {
        "value": min(max(progress.value, 0.0), 1.0),
        "nodes_done": progress.nodes_done,
        "nodes_total": progress.nodes_total,
        "current_node": progress.current_node,
        "current_node_class": progress.class_type,
        "step": step,
        "steps": steps,
        "message": _message(progress.class_type, step, steps),
    }


def output_view(task: Task, output: Output, here: Here) -> JobOutputJson | None:
    """Return a result; None without a file or text."""
    if output.key is None and output.text is None:
        return None
    hash: str | None
    if (text := output.text) is not None:
        name, content_type, size = text_name(output.node_id), TEXT_TYPE, len(encoded(text))
        hash = text_hash(text)
    else:
        name, content_type = output.filename or "", output.content_type or UNKNOWN_TYPE
        size, hash = output.size_bytes or 0, output.hash
    asset_id = output_id(task.task_id, output)
    return {
        "node_id": output.node_id,
        "name": name,
        "type": _type(output.kind),
        "content_type": content_type,
        "size_bytes": size,
        "id": asset_id,
        "hash": hash,
        "url": _content_url(asset_id, here),
        "url_expires_at": _url_expires_at(_expires_at(task, here), here),
        "job_id": task.task_id,
    }


def asset_view(asset: Asset, here: Here, created_new: bool | None = None) -> AssetJson:
    """Return an asset; `created_new` is set in the response to its creation."""
    view: AssetJson = {
        "id": asset.asset_id,
        "hash": asset.hash,
        "size_bytes": asset.size_bytes,
        "content_type": asset.content_type,
        "file_path": asset.file_path,
        "created_at": moment(asset.created_at),
        "url": _content_url(asset.asset_id, here),
        "url_expires_at": _url_expires_at(asset.expires_at, here),
        "expires_at": timestamp(asset.expires_at),
        "job_id": asset.job_id,
    }
    return view if created_new is None else {**view, "created_new": created_new}


def status_event(view: Mapping[str, Any]) -> StatusEventJson:
    """Return the event for a job, or for a task in the JSON of the gateway's streams."""
    return {"status": view["status"], "queue_position": view["queue_position"]}


def progress_event(view: Mapping[str, Any]) -> JobProgressJson:
    return progress_view(Progress(**view["progress"]))


def output_event(task: Task, view: Mapping[str, Any], here: Here) -> JobOutputJson | None:
    """Return the event for a result in the JSON of the gateway's streams."""
    if view.get("text") is None and not view.get("url"):
        return None
    known = {name: view[name] for name in Output.__dataclass_fields__ if name in view}
    known["error"] = None
    return output_view(task, Output(**known, key=view.get("url")), here)


def preview_event(update: Update, data_base64: str) -> PreviewEventJson:
    return {
        "node_id": update.data.get("node_id") or "",
        "content_type": update.data["content_type"],
        "data_base64": data_base64,
    }


def _type(kind: str) -> str:
    """Return the kind; 3D models are files, as v2 has no kind for them."""
    return str(Kind.FILE if kind == Kind.MODEL3D else kind)


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)


def _message(class_type: str | None, step: int | None, steps: int | None) -> str | None:
    if class_type is None or step is None or steps is None:
        return class_type
    return f"{class_type} {step}/{steps}"


def _error_view(error: TaskError) -> JobErrorJson:
    """Return the error; if ComfyUI refused several nodes, the first of them."""
    node_id, class_type = error.node_id, error.class_type
    for refused, node in list((error.node_errors or {}).items())[:1]:
        node_id, class_type = refused, node.get("class_type")
    return {
        "code": _CODES.get(error.code, error.code),
        "message": error.message,
        "node_id": node_id,
        "class_type": class_type,
        "traceback": "".join(error.traceback) or None,
    }


def _metrics(task: Task, now: float) -> dict[str, int | None]:
    """Return times in milliseconds; null until they begin."""
    started, ended = task.started_at, task.finished_at
    return {
        "queue_ms": None if started is None else _milliseconds(task.created_at, started),
        "execution_ms": None if started is None else _milliseconds(started, ended or now),
    }


def _milliseconds(start: float, end: float) -> int:
    return max(round((end - start) * 1000), 0)


def _expires_at(task: Task, here: Here) -> float:
    if here.kept is None:
        return task.created_at + FOR_EVER
    return (task.finished_at or here.now) + here.kept


def _url_expires_at(expires_at: float | None, here: Here) -> str:
    soon = here.now + URL_LIFE
    return moment(soon if expires_at is None else min(soon, expires_at))


def _content_url(asset_id: str, here: Here) -> str:
    return f"{here.base}/api/v2/assets/{asset_id}/content"


def _urls(task_id: str, here: Here) -> JobUrlsJson:
    """Return relative URLs, so that the client stays on its own route through proxies."""
    own = f"{here.prefix}/api/v2/jobs/{task_id}"
    return {"self": own, "events": f"{own}/events", "cancel": f"{own}/cancel"}
