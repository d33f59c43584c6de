"""Files: GET /view, POST /upload/image and /upload/mask."""

from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote

from starlette.datastructures import FormData, QueryParams, UploadFile
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.bodies import chunks_of
from app.api.deps import gateway_of
from app.api.file_response import safe_headers, stored_file
from app.api.native import forms
from app.api.native.replies import json_reply
from app.api.relayed_file import relayed
from app.auth.model import AccessLevel
from app.errors import InvalidRequest
from app.files.images.jobs import Channel, View
from app.files.images.mask_uploads import masked_upload
from app.files.kinds import is_inline
from app.files.uploads import Upload, folder_for
from app.gateway import Gateway
from app.limits.json_types import Json
from app.services.native_files import (
    TYPES,
    FileOnServer,
    StoredFile,
    candidates,
    inner,
)
from app.workflows.json_text import parse_json

DOWNLOAD = "application/octet-stream"
QUALITY = 90  # of previews, as ComfyUI has it


@requires(AccessLevel.READ)
async def view(request: Request) -> Response:
    """Return a result or an upload of the caller.

    `preview=webp;90` and `channel` request another encoding of an image; all parameters that are
    unknown, such as `rand`, are ignored. Raises FileNotFound, InvalidRequest and Forbidden for
    what ComfyUI answers with 404, 400 and 403.
    """
    gateway, query = gateway_of(request), request.query_params
    wanted = candidates(query)
    found = await gateway.native_files.find(wanted)
    name = wanted[-1].filename
    if isinstance(found, FileOnServer):
        one = found.result
        where = (found.server, one.filename, one.subfolder, one.type)
        return await relayed(request, *where, headers_of=_headers)
    if (wish := _view_of(query)) is None:
        return await stored_file(
            *(request, found.files, found.key),
            content_type=found.content_type,
            filename=name,
            headers_of=_headers,
        )
    return await _viewed(request, gateway, found, wish, name)


async def _viewed(
    request: Request, gateway: Gateway, found: StoredFile, wish: View, name: str
) -> Response:
    key = await gateway.views.of(
        found.files, found.key, wish, content_type=found.content_type, below=found.below
    )
    return await stored_file(
        *(request, gateway.files, key),
        content_type=f"image/{wish.format}",
        filename=name,
        headers_of=_headers,
    )


def _view_of(query: QueryParams) -> View | None:
    """Return the encoding that a query wishes; None for the file itself.

    Unknown formats are WebP, and JPEG has no transparency. (Recorded: view of 0.3.64.)
    """
    said = query.get("channel", "")
    channel: Channel | None = "rgb" if said == "rgb" else "a" if said == "a" else None
    if "preview" not in query:
        return View("png", channel=channel) if channel else None
    word, *rest = query["preview"].split(";")
    last = rest[-1] if rest else ""
    quality = int(last) if last.isascii() and last.isdigit() and len(last) < 10 else QUALITY
    format_: Literal["jpeg", "webp"] = "jpeg" if word == "jpeg" and "a" not in said else "webp"
    flat: Channel | None = "rgb" if channel == "rgb" else None
    return View(format_, quality=min(max(quality, 1), 100), channel=flat)


def _headers(content_type: str, filename: str, head: bytes) -> dict[str, str]:
    """Return the headers of a file: as ComfyUI has them, and those that keep it from running.

    What a browser would run is a download of no type.
    """
    is_shown = is_inline(content_type, head) or content_type == DOWNLOAD
    disposition = _named(filename)
    return {
        **safe_headers(content_type, filename, head),
        "Content-Disposition": disposition if is_shown else f"attachment; {disposition}",
        "Content-Type": content_type if is_shown else DOWNLOAD,
    }


def _named(filename: str) -> str:
    """Return the name as ComfyUI gives it, without a disposition; in RFC 6266's form if needed."""
    plain = filename.replace("\\", "\\\\").replace('"', '\\"')
    if filename.isascii() and filename.isprintable():
        return f'filename="{plain}"'
    return f"filename*=utf-8''{quote(filename, safe='')}"


@dataclass(frozen=True, slots=True)
class _Fields:
    """The fields of an upload. `folder`: where among the uploads it is kept."""

    image: UploadFile
    name: str
    subfolder: str
    type: str
    folder: str
    overwrite: bool


async def _fields(form: FormData) -> _Fields:
    """Read the fields of an upload. Raises InvalidRequest."""
    image = forms.image_of(form)
    name = (image.filename or "").replace("\\", "/")
    if ".." in name.split("/"):
        raise InvalidRequest("image: the name of the file leads out of the folder.")
    said, type_ = await forms.text_of(form, "subfolder"), await forms.text_of(form, "type")
    type_ = type_ or "input"
    if type_ not in TYPES:
        raise InvalidRequest(f"type: one of {', '.join(TYPES)} is wanted.")
    subfolder = inner(said)
    if subfolder is None:
        raise InvalidRequest("subfolder: it leads out of the folder.")
    overwrite = await forms.text_of(form, "overwrite") in ("true", "1")
    return _Fields(image, name, said, type_, folder_for(type_, subfolder), overwrite)


@requires(AccessLevel.RUN)
async def upload_image(request: Request) -> Response:
    """Keep a file as an upload of the caller. Raises what `Uploads.save` raises.

    The same name with the same bytes is the same upload; with other bytes it gets another name, or
    replaces the upload if `overwrite` is "true" or "1".
    """
    gateway = gateway_of(request)
    async with forms.parsed(request) as form:
        about = await _fields(form)
        upload = await gateway.uploads.save(
            about.name, chunks_of(about.image), subfolder=about.folder, overwrite=about.overwrite
        )
        return await _kept(gateway, upload, about)


@requires(AccessLevel.RUN)
async def upload_mask(request: Request) -> Response:
    """Keep the file in `original_ref` with the alpha channel of the mask, as an upload.

    The original may be an upload or a result of the caller. Unlike ComfyUI, which answers with a
    name and keeps nothing, one that is not there is an error.
    """
    gateway = gateway_of(request)
    async with forms.parsed(request) as form:
        about = await _fields(form)
        reference = _reference(await forms.text_of(form, "original_ref"))
        original = await gateway.native_files.find(candidates(reference))
        if isinstance(original, FileOnServer):
            raise InvalidRequest("original_ref: the task is still running.")
        upload = await masked_upload(
            gateway.uploads,
            original.files.on_disk(original.key),
            chunks_of(about.image),
            name=about.name,
            max_bytes=gateway.settings.max_upload_bytes,
            decoders=gateway.decoders,
            subfolder=about.folder,
            overwrite=about.overwrite,
        )
        return await _kept(gateway, upload, about)


def _reference(text: str) -> Json:
    said: Any = parse_json(text.encode("utf-8", "replace"))
    if not isinstance(said, dict) or not isinstance(said.get("filename"), str):
        raise InvalidRequest(
            'original_ref: {"filename": ...} is wanted, with "subfolder" and "type".'
        )
    return {name: said[name] for name in ("filename", "subfolder", "type") if said.get(name)}


async def _kept(gateway: Gateway, upload: Upload, about: _Fields) -> Response:
    await gateway.assets.note(upload, overwritten=about.overwrite)
    name = upload.name.rpartition("/")[2]
    return json_reply({"name": name, "subfolder": about.subfolder, "type": about.type})


ROUTES = [
    Route("/comfy/view", view),
    Route("/comfy/upload/image", upload_image, methods=["POST"]),
    Route("/comfy/upload/mask", upload_mask, methods=["POST"]),
]
