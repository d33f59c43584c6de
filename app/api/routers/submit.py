"""The response to a submit: the task or batch as JSON, or the only file that the task made."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.requests import ClientDisconnect

from app.api.body_memory import let_go
from app.api.deps import ServerQuery, own_address
from app.api.file_response import head_of, safe_headers
from app.api.idempotency import KeyHeader, key_of
from app.api.problems import responses
from app.api.routers.batches import BatchJson, batch_view
from app.db.idempotency import IdempotencyKey
from app.errors import (
    FileNotFound,
    GatewayError,
    InvalidInput,
    InvalidJson,
    InvalidParameter,
    InvalidWorkflow,
    KeyReused,
    NoServer,
    NotRunnable,
    PayloadTooLarge,
    QueueFull,
    ServerNotFound,
    StorageFull,
    UrlFailed,
    UrlNotAllowed,
    WorkflowFormatUnsupported,
    WorkflowNotFound,
)
from app.gateway import Gateway
from app.limits.json_types import Json
from app.services.input_files import Check
from app.services.submission_request import Queued, Submission
from app.tasks.model import Output, Status, Task
from app.tasks.task_json import TaskJson
from app.tasks.truncation import LIST, MAX_STREAM_BYTES, shortened
from app.workflows.references.results import OwnAddress

Wait = Annotated[float, Query(ge=0, le=3600, description="Seconds to wait for the finished task.")]
Inline = Annotated[bool, Query(description="Put the results' files into the answer, in base64.")]

SUBMIT_RESPONSES: dict[int | str, Json] = {
    **responses(InvalidJson, PayloadTooLarge, QueueFull, NoServer, StorageFull),
    **responses(
        *(InvalidInput, InvalidWorkflow, WorkflowFormatUnsupported, InvalidParameter),
        *(NotRunnable, UrlNotAllowed, UrlFailed, KeyReused),
    ),
    **responses(WorkflowNotFound, ServerNotFound),
    200: {
        "model": TaskJson | BatchJson,
        "description": "With `wait`: all is finished. Or the task's only file, if Accept takes it.",
        "content": {f"{kind}/*": {} for kind in ("image", "video", "audio")},
    },
    202: {"model": TaskJson | BatchJson, "description": "Queued; a batch, if one was sent."},
}
MAX_WAIT = 600.0  # seconds; upper bound of ?wait=
MAX_INLINE_BYTES = 16 * 1024 * 1024  # of result files in one response to ?inline=true
MEDIA = ("image/", "video/", "audio/")
OTHERS = ("application/json", "text/html")  # a client that accepts these gets JSON, not the file


@dataclass(frozen=True, slots=True)
class Asked:
    """How to queue and answer a submit. `wait`: seconds."""

    gateway: Gateway
    key: IdempotencyKey | None
    wait: float
    inline: bool
    server: str | None
    accept: str
    done: Callable[[], None]  # releases the body of the request
    check: Check  # raises ClientDisconnect once the client has disconnected
    here: OwnAddress


# One dependency for all of it, and the endpoints read the body themselves: FastAPI takes 20 us to
# resolve each, however small.
async def _asked(
    request: Request,
    idempotency_key: KeyHeader = None,
    wait: Wait = 0,
    inline: Inline = False,
    server: ServerQuery = None,
) -> Asked:
    accept = request.headers.get("accept", "")

    async def check() -> None:
        if await request.is_disconnected():
            raise ClientDisconnect

    key = await key_of(request, idempotency_key)
    return Asked(
        request.state.gateway,
        key,
        wait,
        inline,
        server,
        accept,
        lambda: let_go(request.scope),
        check,
        own_address(request),
    )


AskedDep = Annotated[Asked, Depends(_asked)]


async def submit_and_answer(submission: Submission, asked: Asked) -> Response:
    """Queue the submission, wait for its end if asked to, and answer 202, or 200 once it ended."""
    gateway = asked.gateway
    queued = await gateway.submissions.submit(
        submission, server=asked.server, key=asked.key, check=asked.check, here=asked.here
    )
    submission.forget()
    asked.done()
    if asked.wait:
        ids = [one.task.task_id for one in queued]
        queued = []  # free the views while waiting: they are rebuilt afterwards
        ended = await gateway.tasks.wait(ids, min(asked.wait, MAX_WAIT))
        queued = [Queued(task) for task in ended]
    tasks = [one.task for one in queued]
    first = tasks[0]
    if first.batch_id is None:
        headers = {"Location": f"/api/task/{first.task_id}"}
        if (file := await _file(gateway, _wanted_file(first, asked.accept), headers)) is not None:
            return file
        views = _views(gateway, queued, None)
        view: TaskJson | BatchJson = views[0]
    else:
        headers = {"Location": f"/api/batch/{first.batch_id}"}
        room = MAX_STREAM_BYTES if asked.inline else LIST
        views = _views(gateway, queued, room)
        view = batch_view(first.batch_id, views)
    if asked.inline:
        await _add_data(gateway, tasks, views)
    return JSONResponse(view, 200 if all(task.finished for task in tasks) else 202, headers)


def _views(gateway: Gateway, queued: Sequence[Queued], room: int | None) -> list[TaskJson]:
    """Return the tasks as JSON, each cut to `room` bytes: as published if there is a view, which
    has no results and so no URLs yet, else as they are now."""
    return [
        gateway.tasks.view(task, room) if view is None else shortened(view, room)
        for task, view in queued
    ]


def _wanted_file(task: Task, accept: str) -> Output | None:
    """Return the task's only file, if the client accepts its type and does not accept JSON."""
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


async def _file(
    gateway: Gateway, output: Output | None, headers: dict[str, str]
) -> Response | None:
    """Return a response with the file; None if it cannot be read, and the task is sent instead."""
    if output is None or output.key is None:
        return None
    try:
        info = await gateway.files.stat(output.key)
        head = await head_of(gateway.files, info)
    except GatewayError:
        return None
    content_type = output.content_type or "application/octet-stream"
    headers = {
        **safe_headers(content_type, output.filename or "", head),
        "Content-Length": str(info.size_bytes),
        **headers,
    }
    body = gateway.files.read(output.key, 0, info.size_bytes)
    return StreamingResponse(body, 200, headers, media_type=content_type)


async def _add_data(gateway: Gateway, tasks: Sequence[Task], views: Sequence[TaskJson]) -> None:
    """Add the files' content as `data`, in order, while they fit into MAX_INLINE_BYTES."""
    room = MAX_INLINE_BYTES
    for task, task_view in zip(tasks, views, strict=True):
        for output, view in zip(task.outputs, task_view["outputs"], strict=False):
            if output.text is not None:
                continue
            view["data"] = view["data_error"] = None
            try:
                content = await _content(gateway, output, room)
            except GatewayError as error:
                view["data_error"] = {"code": error.code, "message": error.detail}
            else:
                room -= len(content)
                view["data"] = base64.b64encode(content).decode()


async def _content(gateway: Gateway, output: Output, room: int) -> bytes:
    """Return the file's bytes. Raise FileNotFound, PayloadTooLarge above `room` bytes, or
    StorageUnavailable."""
    if not output.key:
        raise FileNotFound("The file is not here.")
    size = (await gateway.files.stat(output.key)).size_bytes
    if size > room:
        raise PayloadTooLarge(
            f"{size} bytes would make the answer too large: fetch its url. "
            f"Files of {MAX_INLINE_BYTES} bytes in all fit into one."
        )
    return b"".join([piece async for piece in gateway.files.read(output.key, 0, size)])
