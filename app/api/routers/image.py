"""Routes of files: results by name, views of them, uploads."""

from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, File, Form, Query, Request, UploadFile
from fastapi.responses import Response, StreamingResponse

from app.api.access_levels import requires
from app.api.bodies import chunks_of
from app.api.deps import GatewayDep, Id
from app.api.file_response import safe_headers, stored_file
from app.api.plain_requests import MAX_ID, MAX_SUBFOLDER, of_a_result, plainly
from app.api.problems import responses
from app.api.relayed_file import relayed
from app.api.strict_route import StrictRoute
from app.auth.model import AccessLevel
from app.errors import (
    ComfyError,
    ComfyMissing,
    ComfyUnreachable,
    FileExpired,
    FileNotFound,
    InvalidInput,
    NotInstalled,
    PayloadTooLarge,
    ServerNotFound,
    StorageFull,
    StorageUnavailable,
    TaskNotFinished,
    TaskNotFound,
)
from app.files.images.jobs import MAX_SIDE, View, ViewFormat
from app.files.images.mask_uploads import masked_upload
from app.files.images.views import INPUTS
from app.files.stores.store import FileStore
from app.files.upload_json import UploadJson, upload_json
from app.files.uploads import Upload
from app.gateway import Gateway
from app.workflows.json_text import parse_json

router = APIRouter(prefix="/api", tags=["images"], route_class=StrictRoute)

Subfolder = Annotated[str, Form(description="A folder among the uploads; as ComfyUI has it.")]
Overwrite = Annotated[bool, Form(description="Take the place of the upload with that name.")]
InputFolder = Annotated[Literal["input"], Form(description="Uploads are inputs.")]
Side = Annotated[int | None, Query(ge=1, le=MAX_SIDE, description="Scale down to fit.")]


@router.head("/image/{filename}", include_in_schema=False)
@router.get(
    "/image/{filename}",
    response_class=Response,
    responses={
        **responses(
            FileNotFound,
            FileExpired,
            ServerNotFound,
            InvalidInput,
            NotInstalled,
            ComfyMissing,
            ComfyUnreachable,
            ComfyError,
            StorageFull,
            StorageUnavailable,
        ),
        200: {"content": {"*/*": {}}, "description": "The file; Range and ETag work."},
        206: {"content": {"*/*": {}}, "description": "The part that Range asked for."},
        304: {"description": "It is what If-None-Match names."},
        416: {"description": "Range is outside of the file."},
    },
)
@requires(AccessLevel.READ)
@plainly(of_a_result)
async def get_image(
    filename: str,
    request: Request,
    gateway: GatewayDep,
    task_id: Annotated[
        Id | None, Query(description="The result of this task.", max_length=MAX_ID)
    ] = None,
    subfolder: Annotated[
        str | None, Query(max_length=MAX_SUBFOLDER, description="In this folder.")
    ] = None,
    type: Annotated[
        Literal["output", "temp", "input"] | None,
        Query(description="ComfyUI's folder; input: an upload."),
    ] = None,
    server: Annotated[
        str | None, Query(description="Straight from this server's folders.", max_length=200)
    ] = None,
    width: Side = None,
    height: Side = None,
    format: Annotated[
        ViewFormat | None, Query(description="Another format; of a video, its first frame.")
    ] = None,
    quality: Annotated[int, Query(ge=1, le=100, description="Of webp, jpeg and avif.")] = 85,
    metadata: Annotated[
        Literal["strip"] | None,
        Query(
            description="Without workflow, prompt, place and time: encoded anew. PNG keeps its "
            "pixels (16 bits only of gray), as does lossless WebP; other WebP and JPEG are of "
            "quality 95; animations stay animations."
        ),
    ] = None,
) -> Response:
    """Return a result of any type by its name; the newest one if several have the name.

    `width`, `height` and `format` request a smaller view, by default as `webp`, which keeps the
    aspect ratio and is never enlarged. `Range`, `If-Range`, `ETag`, `If-None-Match` and HEAD are
    supported, except with `server`. Types that are not known to be harmless, such as HTML, SVG, XML
    and PDF, are sent as attachments.
    """
    wish = _wish(width, height, format, quality, metadata)
    if server is not None:
        if wish:
            raise InvalidInput("A view cannot be made of a file on a server.", field="server")
        gateway.caller.need_all("server: a server's folder")
        chosen = gateway.pool.get(server)
        return await relayed(request, chosen, filename, subfolder or "", type or "output")
    files: FileStore = gateway.files
    if type == "input":
        upload = await gateway.uploads.get(f"{subfolder}/{filename}" if subfolder else filename)
        files, key, content_type = gateway.uploads.store, upload.key, upload.content_type
    else:
        key, content_type = await gateway.tasks.result_file(
            filename, task_id=task_id, subfolder=subfolder, type=type
        )
    if wish:
        below = INPUTS if type == "input" else ""
        key = await gateway.views.of(files, key, wish, content_type=content_type, below=below)
        files = gateway.files
        if wish.format:
            filename = f"{Path(filename).stem}.{wish.format}"
            content_type = f"image/{wish.format}"
    return await stored_file(request, files, key, content_type=content_type, filename=filename)


def _wish(
    width: int | None,
    height: int | None,
    format: ViewFormat | None,
    quality: int,
    metadata: Literal["strip"] | None,
) -> View | None:
    """Return the view that the query requests; None for the unchanged file."""
    if width or height or format:
        return View(format or "webp", width, height, quality)
    return View(None) if metadata else None


@router.get(
    "/task/{task_id}/outputs.zip",
    response_class=StreamingResponse,
    responses={
        **responses(TaskNotFound, TaskNotFinished, FileExpired, StorageUnavailable),
        200: {"content": {"application/zip": {}}, "description": "The archive."},
    },
)
@requires(AccessLevel.READ)
async def get_archive(task_id: Id, gateway: GatewayDep) -> Response:
    """Return all outputs of a finished task as a ZIP file, which is created while it is sent.

    Names are unique, without folders; texts are `node<id>.txt`. `MISSING.txt` lists missing files.
    """
    content = await gateway.tasks.archive(task_id)
    headers = safe_headers("application/zip", f"{task_id}.zip")
    return StreamingResponse(content, headers=headers, media_type="application/zip")


@router.post(
    "/image/upload",
    status_code=201,
    responses=responses(PayloadTooLarge, StorageFull),
)
@requires(AccessLevel.RUN)
async def upload_image(
    gateway: GatewayDep,
    image: Annotated[UploadFile, File(description="Any file, not only images.")],
    subfolder: Subfolder = "",
    overwrite: Overwrite = False,
    type: InputFolder = "input",
) -> UploadJson:
    """Store an input file: an image, audio or video; `name` is then a valid input value on every
    server.

    The same name with the same bytes is the same upload. With other bytes the upload gets another
    name, such as `result (1).png`, or replaces the existing one with `overwrite`; queued tasks then
    use the new file. Unknown and repeated form fields are refused.
    """
    upload = await gateway.uploads.save(
        image.filename or "upload", chunks_of(image), subfolder=subfolder, overwrite=overwrite
    )
    return await _kept(gateway, upload, overwrite)


@router.post(
    "/image/upload/mask",
    status_code=201,
    responses=responses(
        FileNotFound, InvalidInput, PayloadTooLarge, StorageFull, StorageUnavailable
    ),
)
@requires(AccessLevel.RUN)
async def upload_mask(
    gateway: GatewayDep,
    image: Annotated[UploadFile, File(description="The mask: its alpha channel is used.")],
    original: Annotated[
        str | None, Form(description="Name of the upload to put the mask on.")
    ] = None,
    original_ref: Annotated[
        str | None, Form(description='Or as ComfyUI has it: {"filename": ..., "subfolder": ...}.')
    ] = None,
    subfolder: Subfolder = "",
    overwrite: Overwrite = False,
    type: InputFolder = "input",
) -> UploadJson:
    """Create an upload from the original with the mask as its alpha channel, for LoadImage's MASK.

    The mask must have the same size; transparent means masked. The name is like
    `masked-result.png`.
    """
    of = _original(original, original_ref)
    upload = await masked_upload(
        gateway.uploads,
        gateway.uploads.on_disk(of),
        chunks_of(image),
        name=f"masked-{Path(of).stem}.png",
        max_bytes=gateway.settings.max_upload_bytes,
        decoders=gateway.decoders,
        subfolder=subfolder,
        overwrite=overwrite,
    )
    return await _kept(gateway, upload, overwrite)


def _original(name: str | None, ref: str | None) -> str:
    """Return the name of the upload that a mask is for. Raises InvalidInput."""
    if (name is None) == (ref is None):
        raise InvalidInput('Send either "original" or "original_ref".', field="original")
    if ref is None:
        return name or ""
    said = parse_json(ref.encode())
    given = said if isinstance(said, dict) else {}
    folder, file = given.get("subfolder") or "", given.get("filename")
    is_upload = (given.get("type") or "input") == "input"
    if not (is_upload and isinstance(file, str) and isinstance(folder, str)):
        raise InvalidInput(
            'original_ref: {"filename": ...} of an upload is wanted, with "subfolder" if it has '
            "one; results are no uploads.",
            hint="Upload the picture with POST /api/image/upload first.",
            field="original_ref",
        )
    return f"{folder}/{file}" if folder else file


async def _kept(gateway: Gateway, upload: Upload, overwritten: bool) -> UploadJson:
    """Record the upload as an asset and return its JSON."""
    await gateway.assets.note(upload, overwritten=overwritten)
    return upload_json(upload, gateway.base_path)
