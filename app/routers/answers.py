"""The answer to a submit: the task, the task with its files in it, or the one file that it made."""

import asyncio
import base64
from pathlib import Path
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response

from app.files.kinds import is_inline
from app.gateway import Gateway
from app.routers.image import file_headers
from app.routers.schemas import TaskOut
from app.tasks.model import Output, Status, Task
from app.tasks.service import Submission

Json = dict[str, Any]
Wait = Annotated[float, Query(ge=0, le=3600, description="Seconds to wait for the finished task.")]
Inline = Annotated[bool, Query(description="Put the results' files into the answer, in base64.")]

ANSWERS: dict[int | str, Json] = {
    200: {
        "model": TaskOut,
        "description": "With `wait`: the task is finished. Or its only file, if Accept takes it.",
        "content": {f"{kind}/*": {} for kind in ("image", "video", "audio")},
    },
    202: {"model": TaskOut},
}
MEDIA = ("image/", "video/", "audio/")
OTHERS = ("application/json", "text/html")  # who takes these wants to read, not to show


async def submit_and_answer(
    gateway: Gateway,
    request: Request,
    submission: Submission,
    *,
    wait: float,
    inline: bool,
    server: str | None,
) -> Response:
    task = await gateway.tasks.submit(submission, server)
    if wait:
        task = await gateway.tasks.wait(task.task_id, min(wait, gateway.settings.max_wait))
    headers = {"Location": f"/api/task/{task.task_id}"}
    wanted = _wanted_file(task, request.headers.get("accept", ""))
    if wanted is not None and (path := _path(gateway, wanted)) is not None:
        return _file(path, wanted, headers)
    view = gateway.tasks.view(task)
    if inline:
        await asyncio.to_thread(_add_data, gateway, task, view["outputs"])
    return JSONResponse(view, 200 if task.finished else 202, headers)


def _wanted_file(task: Task, accept: str) -> Output | None:
    """The task's single file, if the client takes its type and did not ask for JSON."""
    ranges = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if task.status is not Status.SUCCEEDED or any(other in ranges for other in OTHERS):
        return None
    files = [output for output in task.outputs if output.key]
    kept = [output for output in files if output.type == "output"] or files
    if len(kept) != 1:
        return None
    content_type = kept[0].content_type or ""
    takes = {content_type, f"{content_type.partition('/')[0]}/*"}
    is_media = content_type.startswith(MEDIA)
    return kept[0] if is_media and takes & set(ranges) else None


def _path(gateway: Gateway, output: Output) -> Path | None:
    if not output.key or not gateway.files.exists(output.key):
        return None
    return gateway.files.path(output.key)


def _file(path: Path, output: Output, headers: dict[str, str]) -> Response:
    content_type = output.content_type or "application/octet-stream"
    return FileResponse(
        path,
        media_type=content_type,
        filename=output.filename,
        content_disposition_type="inline" if is_inline(content_type) else "attachment",
        headers={**file_headers(), **headers},
    )


def _add_data(gateway: Gateway, task: Task, views: list[Json]) -> None:
    """`data` for each file, in their order, as long as there is room for the whole file."""
    room = gateway.settings.max_inline_bytes
    for output, view in zip(task.outputs, views, strict=True):
        if output.text is not None:
            continue
        path = _path(gateway, output)
        view["data"] = view["data_error"] = None
        if path is None:
            view["data_error"] = {"code": "file_not_found", "message": "The file is not here."}
        elif (size := path.stat().st_size) > room:
            view["data_error"] = {
                "code": "payload_too_large",
                "message": f"{size} bytes would make the answer too large: fetch its url. "
                "The limit is the setting COMFYUI_MAX_INLINE_BYTES.",
            }
        else:
            room -= size
            view["data"] = base64.b64encode(path.read_bytes()).decode()
