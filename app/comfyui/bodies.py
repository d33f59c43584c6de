"""Bodies of requests, sent piece by piece: JSON, and forms with a file."""

import asyncio
import json
import mimetypes
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import BinaryIO
from uuid import uuid4

import aiohttp
from aiohttp.abc import AbstractStreamWriter

from app.limits.json_types import Json

PIECE = 64 << 10  # bytes that are sent at once
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})  # in forms, as browsers do
_TYPES = mimetypes.MimeTypes()  # Python's own: those of the system may say anything
_TYPES.add_type("image/webp", ".webp")  # before Python 3.13 it was not among them


class Body(aiohttp.Payload):
    """A body in pieces, each to be taken by the server within `timeout` seconds.

    aiohttp has timeouts for connecting and reading only.
    """

    def __init__(
        self, pieces: Iterable[bytes], size: int, content_type: str, timeout: float | None
    ) -> None:
        super().__init__(pieces, content_type=content_type)
        self._size = size
        self._timeout = timeout

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            try:
                async with asyncio.timeout(self._timeout):
                    await writer.write(piece)
            except TimeoutError as error:
                raise aiohttp.ServerTimeoutError("Timeout on sending the request") from error

    async def write_with_length(
        self, writer: AbstractStreamWriter, content_length: int | None
    ) -> None:
        await self.write(writer)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        raise TypeError("It is sent once, and not read.")


def json_body(value: Json, timeout: float | None) -> Body:
    """Raises ValueError for what is no JSON, as NaN."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    content = text.encode()
    pieces = (content[start : start + PIECE] for start in range(0, len(content), PIECE))
    return Body(pieces, len(content), "application/json", timeout)


def form_body(
    fields: Mapping[str, str], field: str, filename: str, file: BinaryIO, timeout: float | None
) -> Body:
    """Return a multipart form with `fields`, and the whole `file` in `field`."""
    boundary = uuid4().hex
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    kind = _TYPES.guess_type(filename)[0] or "application/octet-stream"
    named = f'name="{field}"; filename="{filename.translate(_ESCAPES)}"'
    parts = [
        *(f'name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()),
        f"{named}\r\nContent-Type: {kind}\r\n\r\n",
    ]
    head = "".join(f"--{boundary}\r\nContent-Disposition: form-data; {part}" for part in parts)
    start, end = head.encode(), f"\r\n--{boundary}--\r\n".encode()

    def pieces() -> Iterator[bytes]:
        yield start
        yield from _read(file, size)
        yield end

    content_type = f"multipart/form-data; boundary={boundary}"
    return Body(pieces(), len(start) + size + len(end), content_type, timeout)


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield that many bytes of the file. Raises OSError if it has become shorter."""
    while size:
        piece = file.read(min(PIECE, size))
        if not piece:
            raise OSError("the file has become shorter")
        size -= len(piece)
        yield piece
