"""Files: results by name, smaller views of them, uploads of inputs."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, Form, Query, Request, UploadFile
from fastapi.responses import FileResponse, Response, StreamingResponse

from app.errors import (
    ComfyError,
    ComfyUnreachable,
    FileNotFound,
    InvalidInput,
    PayloadTooLarge,
    ServerNotFound,
    StorageFull,
)
from app.files.kinds import content_type_of, is_inline
from app.files.masks import apply_mask
from app.files.store import once
from app.files.uploads import Upload
from app.files.views import MAX_SIDE, ViewFormat
from app.problems import responses
from app.routers.bodies import chunks_of
from app.routers.deps import GatewayDep
from app.routers.schemas import UploadOut
from app.servers.server import Server

router = APIRouter(prefix="/api", tags=["images"])

Json = dict[str, Any]
Side = Annotated[int | None, Query(ge=1, le=MAX_SIDE, description="Scale down to fit.")]


@router.head("/image/{filename}", include_in_schema=False)
@router.get(
    "/image/{filename}",
    response_class=FileResponse,
    responses={
        **responses(FileNotFound, ServerNotFound, InvalidInput, ComfyUnreachable, ComfyError),
        200: {"content": {"*/*": {}}, "description": "The file; Range and ETag work."},
        206: {"content": {"*/*": {}}, "description": "The part that Range asked for."},
        304: {"description": "It is what If-None-Match names."},
        416: {"description": "Range is outside of the file."},
    },
)
async def get_image(
    filename: str,
    request: Request,
    gateway: GatewayDep,
    task_id: Annotated[str | None, Query(description="Of this task.", max_length=100)] = None,
    subfolder: Annotated[str | None, Query(max_length=500)] = None,
    type: Annotated[Literal["output", "temp", "input"] | None, Query()] = None,
    server: Annotated[
        str | None, Query(description="Straight from this server's folders.", max_length=200)
    ] = None,
    width: Side = None,
    height: Side = None,
    format: Annotated[ViewFormat | None, Query(description="Another format.")] = None,
    quality: Annotated[int, Query(ge=1, le=100)] = 85,
) -> Response:
    """Any result by name, or an upload with type=input; the newest if several have the name."""
    if server is not None:
        if width or height or format:
            raise InvalidInput("A view cannot be made of a file on a server.", field="server")
        chosen = gateway.pool.get(server)
        return await _relayed(chosen, filename, subfolder or "", type or "output")
    if type == "input":
        path, content_type = gateway.uploads.path(filename), content_type_of(filename)
    else:
        path, content_type = await gateway.tasks.result_file(
            filename, task_id=task_id, subfolder=subfolder, type=type
        )
    if width or height or format:
        view = await gateway.views.of(
            path, width=width, height=height, format=format or "webp", quality=quality
        )
        content_type, filename = f"image/{format or 'webp'}", f"{Path(filename).stem}{view.suffix}"
        path = view
    return await asyncio.to_thread(_file, request, path, content_type, filename)


@router.post(
    "/image/upload",
    status_code=201,
    responses={**responses(PayloadTooLarge, StorageFull), 201: {"model": UploadOut}},
)
async def upload_image(
    gateway: GatewayDep, image: Annotated[UploadFile, "Any file, not only images."]
) -> Json:
    """Keep an input file. Its name is then a value for LoadImage and the like, on every server."""
    return _shown(await gateway.uploads.save(image.filename or "upload", chunks_of(image)))


@router.post(
    "/image/upload/mask",
    status_code=201,
    responses={
        **responses(FileNotFound, InvalidInput, PayloadTooLarge, StorageFull),
        201: {"model": UploadOut},
    },
)
async def upload_mask(
    gateway: GatewayDep,
    image: Annotated[UploadFile, "The mask: its alpha channel is used."],
    original: Annotated[str, Form(description="Name of the upload to put the mask on.")],
) -> Json:
    """A new upload: the original with the mask as its alpha channel."""
    limit = gateway.settings.max_upload_bytes
    mask = await image.read(limit + 1)
    if len(mask) > limit:
        raise PayloadTooLarge(f"The mask is larger than the {limit} bytes that are allowed.")
    masked = await asyncio.to_thread(apply_mask, gateway.uploads.path(original), mask)
    return _shown(await gateway.uploads.save(f"masked-{Path(original).stem}.png", once(masked)))


def _file(request: Request, path: Path, content_type: str, filename: str) -> Response:
    """The file, or 304 if the client has it already."""
    disposition = "inline" if is_inline(content_type) else "attachment"
    response = FileResponse(
        path,
        media_type=content_type,
        filename=filename,
        content_disposition_type=disposition,
        stat_result=path.stat(),
    )
    response.headers.update(file_headers())
    known = request.headers.get("if-none-match", "")
    if known and response.headers["etag"] in [tag.strip() for tag in known.split(",")]:
        headers = {"ETag": response.headers["etag"], **file_headers()}
        return Response(status_code=304, headers=headers)
    return response


async def _relayed(server: Server, filename: str, subfolder: str, folder: str) -> Response:
    """A file as the server has it, streamed through."""
    view = server.client.view(filename, subfolder=subfolder, type=folder)
    answer = await view.__aenter__()

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_bytes():
                yield chunk
        finally:
            await view.__aexit__(None, None, None)

    content_type = content_type_of(filename, answer.headers.get("content-type"))
    headers = file_headers()
    if not is_inline(content_type):
        headers["Content-Disposition"] = f"attachment; filename*=UTF-8''{quote(filename)}"
    return StreamingResponse(body(), media_type=content_type, headers=headers)


def file_headers() -> dict[str, str]:
    """Files come from strangers: nothing in them may run on our origin."""
    return {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache",
    }


def _shown(upload: Upload) -> Json:
    return {
        "name": upload.name,
        "filename": upload.name,
        "subfolder": "",
        "type": "input",
        "kind": upload.kind,
        "content_type": upload.content_type,
        "size_bytes": upload.size_bytes,
        "hash": upload.hash,
        "url": f"/api/image/{quote(upload.name, safe='')}?type=input",
    }
