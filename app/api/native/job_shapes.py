"""Jobs of /api/jobs, as ComfyUI 0.33 tells them. Pure.

Times are in ms. What is not known is absent, never null.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from app.api.native.shapes import (
    ERROR,
    INTERRUPTED,
    START,
    SUCCESS,
    extra_of,
    messages_of,
    number_of,
    outputs_of,
    row_of,
    status_of,
)
from app.db.native_tasks import NativeTask, Unfinished
from app.limits.json_types import Json

MEDIA = frozenset({"images", "video", "audio", "3d", "gifs"})  # what the page can show
LONGEST_EXCERPT = 1024  # characters of a text in a preview


def open_job(one: Unfinished, workflow_id: Any) -> Json:
    """Return a job that waits or runs."""
    job: Json = {
        "id": one.task_id,
        "status": "in_progress" if one.is_running else "pending",
        "priority": number_of(one.number),
        "create_time": int(one.created_at * 1000),
        "outputs_count": 0,
        "previewable_outputs_count": 0,
    }
    return job if workflow_id is None else {**job, "workflow_id": workflow_id}


def ended_job(found: NativeTask, state: str, *, whole: bool) -> Json:
    """Return a job that has ended; `whole`: with its outputs, messages and graph."""
    number, task_id, prompt, extra, _ = row_of(found)
    outputs = outputs_of(found)
    count, shown, preview = _summary(outputs)
    job: Json = {
        "id": task_id,
        "status": state,
        "priority": number,
        "create_time": extra["create_time"],
        **_times(messages_of(found)),
        "outputs_count": count,
        "previewable_outputs_count": shown,
    }
    if preview is not None:
        job["preview_output"] = preview
    if (workflow_id := workflow_id_of(found)) is not None:
        job["workflow_id"] = workflow_id
    if whole:
        job["outputs"] = outputs
        job["execution_status"] = status_of(found)
        job["workflow"] = {"prompt": prompt, "extra_data": extra}
    return job


def workflow_id_of(found: NativeTask) -> Any:
    """Return the id of the page's workflow; None if it has none."""
    info = extra_of(found).get("extra_pnginfo")
    workflow = info.get("workflow") if isinstance(info, dict) else None
    return workflow.get("id") if isinstance(workflow, dict) else None


def _times(messages: list[list[Any]]) -> Json:
    found: Json = {}
    for kind, data in messages:
        if kind == START:
            found["execution_start_time"] = data.get("timestamp")
        elif kind in (SUCCESS, ERROR, INTERRUPTED):
            found["execution_end_time"] = data.get("timestamp")
        if kind == ERROR:
            found["execution_error"] = data
    return found


def _summary(outputs: Mapping[str, Any]) -> tuple[int, int, Json | None]:
    """Return the number of files, of those that can be shown, and the one to show: a saved one if
    there is any, else the first, else a text."""
    files = [
        {**item, "nodeId": node_id, "mediaType": media}
        for node_id, media, item in _items(outputs)
        if isinstance(item, dict)
    ]
    shown = [file for file in files if file["mediaType"] in MEDIA]
    kept = [file for file in shown if file.get("type") == "output"]
    texts = (
        {**_excerpt(item), "nodeId": node_id, "mediaType": "text"}
        for node_id, media, item in _items(outputs)
        if media == "text" and isinstance(item, str)
    )
    return len(files), len(shown), next(iter([*kept, *shown, *texts]), None)


def _items(outputs: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    for node_id, told in outputs.items():
        for media, items in told.items() if isinstance(told, dict) else ():
            for item in items if isinstance(items, list) else ():
                yield node_id, media, item


def _excerpt(text: str) -> Json:
    if len(text) <= LONGEST_EXCERPT:
        return {"content": text}
    return {"content": text[:LONGEST_EXCERPT], "truncated": True}
