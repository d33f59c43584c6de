"""GET /view and POST /upload/*."""

from __future__ import annotations

import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Any

from PIL import Image, UnidentifiedImageError
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from fake_comfyui.folders import KINDS, TYPES, Folders, OutsideFolder, is_file
from fake_comfyui.knobs import Knobs
from fake_comfyui.replies import machine_of, nothing, reply
from fake_comfyui.validation import Malformed

_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
_SMALL = 256 * 1024
# A browser would run these: they are handed out as downloads.
_ACTIVE = {"text/html", "text/javascript", "text/css", "image/svg+xml", "application/xml"}
_ACTIVE |= {"application/javascript", "text/xml"}


class Refused(Exception):
    """The request gets this bare status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


# --- /view ----------------------------------------------------------------------------------


async def view(request: Request) -> Response:
    machine = machine_of(request)
    try:
        path, kind = _requested(request, machine.folders)
    except Refused as refused:
        return nothing(refused.status)
    if not is_file(path) or (machine.knobs.missing_outputs and kind == "output"):
        return nothing(404)
    if (failure := await _failure(request, path.name, machine.knobs)) is not None:
        return failure
    query = request.query_params
    try:
        if "preview" in query:
            return _preview(path, query["preview"], query.get("channel", ""))
        if query.get("channel") in ("rgb", "a"):
            return _channel(path, query["channel"])
    except UnidentifiedImageError as error:
        raise Malformed("not an image") from error
    return _plain(request, path)


async def _failure(request: Request, name: str, knobs: Knobs) -> Response | None:
    """What stands in the way of a file. The real server, too, closes the connection for a name
    that no header can hold."""
    if _CONTROL.search(name) or (knobs.view_closes and knobs.view_closes in name):
        request.app.state.connections.cut(request)
        return nothing(500)
    if knobs.view_hangs and knobs.view_hangs in name:
        await knobs.until_off("view_hangs")
    return nothing(500) if knobs.view_fails and knobs.view_fails in name else None


def _requested(request: Request, folders: Folders) -> tuple[Path, str]:
    query = request.query_params
    if "filename" not in query:
        raise Refused(404)
    name, kind = query["filename"], query.get("type", "output")
    for word in KINDS:
        if name.endswith(f"[{word}]"):
            name, kind = name.removesuffix(f"[{word}]").rstrip(), word
    if not name or name.startswith("/") or ".." in name or kind not in KINDS:
        raise Refused(400)
    try:
        folder = folders.inside(kind, query.get("subfolder", ""))
    except OutsideFolder as error:
        raise Refused(403) from error
    return folder / Path(name).name, kind


def _plain(request: Request, path: Path) -> Response:
    found = path.stat()
    media = TYPES.guess_type(path.name)[0] or "application/octet-stream"
    headers = {
        "X-Content-Type-Options": "nosniff",
        "Content-Disposition": _disposition(path),
        "Etag": f'"{found.st_mtime_ns:x}-{found.st_size:x}"',
        "Last-Modified": formatdate(found.st_mtime, usegmt=True),
        "Accept-Ranges": "bytes",
    }
    if media in _ACTIVE:
        headers |= {"Vary": "Sec-Fetch-Dest", "Cache-Control": "no-store"}
        if media != "image/svg+xml" or request.headers.get("Sec-Fetch-Dest") != "image":
            media = "application/octet-stream"
            headers["Content-Disposition"] = f"attachment; {_disposition(path)}"
    if _unchanged(request, headers):
        return Response(status_code=304, headers=headers)
    if found.st_size <= _SMALL and "Range" not in request.headers:
        return Response(path.read_bytes(), headers=headers, media_type=media)
    return FileResponse(path, headers=headers, media_type=media, stat_result=found)


def _unchanged(request: Request, headers: dict[str, str]) -> bool:
    if "If-None-Match" in request.headers:
        return request.headers["If-None-Match"] == headers["Etag"]
    return request.headers.get("If-Modified-Since") == headers["Last-Modified"]


def _disposition(path: Path) -> str:
    # Header values travel as latin-1; the real server puts raw UTF-8 there.
    return f'filename="{path.name}"'.encode().decode("latin-1")


def _preview(path: Path, wish: str, channel: str) -> Response:
    """`preview=webp;50`; anything but jpeg without alpha is WebP."""
    word, _, quality = wish.partition(";")
    image_format = "jpeg" if word == "jpeg" and "a" not in channel else "webp"
    with Image.open(path) as opened:
        flat = image_format == "jpeg" or channel == "rgb"
        picture = opened.convert("RGB") if flat else opened.copy()
    return _image(path, picture, image_format, int(quality) if quality.isdigit() else 90)


def _channel(path: Path, channel: str) -> Response:
    with Image.open(path) as opened:
        if channel == "rgb":
            return _image(path, opened.convert("RGB"), "png", 90)
        alpha = opened.convert("RGBA").getchannel("A")
    picture = Image.new("RGBA", alpha.size)
    picture.putalpha(alpha)
    return _image(path, picture, "png", 90)


def _image(path: Path, picture: Image.Image, image_format: str, quality: int) -> Response:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, quality=min(quality, 100))
    headers = {"Content-Disposition": _disposition(path)}
    return Response(buffer.getvalue(), headers=headers, media_type=f"image/{image_format}")


# --- /upload --------------------------------------------------------------------------------


async def upload_image(request: Request) -> Response:
    try:
        async with _form(request) as form:
            return reply(await _store(request, form, await _content(form)))
    except Refused as refused:
        return nothing(refused.status)


async def upload_mask(request: Request) -> Response:
    """Put the mask's alpha onto the original. 200 even if there is no original."""
    try:
        async with _form(request) as form:
            mask = await _content(form)
            original = _original(machine_of(request).folders, form)
            if original is None:
                return reply(_entry(form, _name(form)))
            return reply(await _store(request, form, _masked(original, mask)))
    except Refused as refused:
        return nothing(refused.status)


@asynccontextmanager
async def _form(request: Request) -> AsyncIterator[FormData]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise Refused(400)
    async with request.form() as form:
        if "image" not in form:
            raise Refused(400)
        yield form


async def _content(form: FormData) -> bytes:
    image = form["image"]
    if not isinstance(image, UploadFile) or not image.filename:
        raise Malformed("image")
    return await image.read()


def _name(form: FormData) -> str:
    image = form["image"]
    return (image.filename or "") if isinstance(image, UploadFile) else ""


def _entry(form: FormData, name: str) -> dict[str, Any]:
    kind = form.get("type") or "input"
    return {"name": name, "subfolder": form.get("subfolder", ""), "type": kind}


async def _store(request: Request, form: FormData, content: bytes) -> dict[str, Any]:
    machine = machine_of(request)
    entry = _entry(form, _name(form))
    kind, subfolder, name = entry["type"], str(entry["subfolder"]), entry["name"]
    if kind not in KINDS or name.startswith("/") or len(name) > 255:
        raise Malformed(name)
    try:
        folder = machine.folders.inside(kind, subfolder)
        machine.folders.inside(kind, subfolder, name)
    except OutsideFolder as error:
        raise Refused(400) from error
    folder.mkdir(parents=True, exist_ok=True)
    if form.get("overwrite") not in ("true", "1"):
        name = _free_name(folder, name, content)
    if not (folder / name).parent.is_dir():
        raise Malformed(name)
    (folder / name).write_bytes(content)
    machine.records.uploads.append(name)
    return {**entry, "name": name}


def _free_name(folder: Path, name: str, content: bytes) -> str:
    """The name, or `name (1)`...: the first that is free or holds the very same bytes."""
    stem, suffix = Path(name).stem, Path(name).suffix
    parent, count, tried = name.removesuffix(Path(name).name), 0, name
    while (folder / tried).is_file() and (folder / tried).read_bytes() != content:
        count += 1
        tried = f"{parent}{stem} ({count}){suffix}"
    return tried


def _original(folders: Folders, form: FormData) -> Path | None:
    try:
        ref = json.loads(str(form["original_ref"]))
        name, subfolder = ref["filename"], ref.get("subfolder") or ""
    except (KeyError, ValueError, TypeError) as error:
        raise Malformed("original_ref") from error
    try:
        path = folders.inside(ref.get("type") or "output", subfolder, name)
        if "[" in name:
            path = folders.annotated(name)
    except (OutsideFolder, KeyError):
        return None
    return path if is_file(path) else None


def _masked(original: Path, mask: bytes) -> bytes:
    with Image.open(original) as opened, Image.open(io.BytesIO(mask)) as alpha:
        if opened.size != alpha.size:
            raise Malformed("a mask of another size")
        picture = opened.convert("RGBA")
        picture.putalpha(alpha.convert("RGBA").getchannel("A"))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()
