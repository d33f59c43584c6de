"""Forms of ComfyUI's uploads, read as leniently as ComfyUI reads them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException

from app.api.body_memory import hold
from app.api.deps import gateway_of
from app.api.forms import is_form
from app.api.multipart import BoundedMultiPartParser
from app.errors import InvalidRequest

LONGEST = 10_000  # characters of a field; an `original_ref` is the longest


@asynccontextmanager
async def parsed(request: Request) -> AsyncIterator[FormData]:
    """Yield the form of a request; unknown parts are ignored. Raises InvalidRequest."""
    if not is_form(request):
        raise InvalidRequest("A form is wanted: multipart/form-data with a part `image`.")
    gateway = gateway_of(request)
    limit = gateway.settings.max_body_bytes
    parser = BoundedMultiPartParser(
        request.headers,
        request.stream(),
        max_bytes=limit,
        workers=gateway.workers,
        hold=lambda: hold(request, limit),
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise InvalidRequest(f"The form cannot be read: {error.message}") from error
    try:
        yield form
    finally:
        await form.close()


def image_of(form: FormData) -> UploadFile:
    """Return the file in the part `image`. Raises InvalidRequest."""
    parts = form.getlist("image")
    if not parts or not isinstance(parts[0], UploadFile) or not parts[0].filename:
        raise InvalidRequest("image: the form has no file of that name.")
    return parts[0]


async def text_of(form: FormData, name: str, default: str = "") -> str:
    """Return a field as text, also one that was sent as a file. Raises InvalidRequest."""
    parts = form.getlist(name)
    if not parts:
        return default
    value = parts[0]
    if isinstance(value, UploadFile):
        value = (await value.read(LONGEST + 1)).decode("utf-8", "replace")
    if len(value) > LONGEST:
        raise InvalidRequest(f"{name}: it is longer than {LONGEST} characters.")
    return value
