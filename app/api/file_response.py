"""Files of a store over HTTP: Range, ETag, HEAD, and headers that prevent execution (RFC 9110)."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from email.utils import formatdate
from urllib.parse import quote

from blake3 import blake3
from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from app.api.etags import etag, is_known
from app.files.kinds import is_inline
from app.files.signatures import SNIFFED_BYTES
from app.files.stores.store import FileInfo, FileStore, once

# Bytes that are sent at once, as a stream would cost more than it saves
MAX_ONE_PIECE_BYTES = 256 << 10
# Of a content type, a file name and the first bytes: headers for the file.
HeadersOf = Callable[[str, str, bytes], dict[str, str]]
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class Unsatisfiable(Exception):
    """The range is outside of the file."""


async def stored_file(
    request: Request,
    files: FileStore,
    key: str,
    *,
    content_type: str,
    filename: str,
    headers_of: HeadersOf | None = None,
) -> Response:
    """Return the file, the part requested by Range, or 304 or 416. Raises FileNotFound.

    `headers_of`: in place of `safe_headers`.
    """
    info, content = await files.look(key, MAX_ONE_PIECE_BYTES)

    def read(start: int, end: int) -> AsyncIterator[bytes]:
        return files.read(key, start, end) if content is None else once(content[start:end])

    head = content[:SNIFFED_BYTES] if content is not None else await head_of(files, info)
    headers = (headers_of or safe_headers)(content_type, filename, head)
    return await _served(request, info, read, headers, content_type)


async def head_of(files: FileStore, info: FileInfo) -> bytes:
    """Return the first bytes, which determine the type."""
    pieces = files.read(info.key, 0, min(SNIFFED_BYTES, info.size_bytes))
    return b"".join([piece async for piece in pieces])


async def stored_bytes(
    request: Request, content: bytes, *, content_type: str, filename: str
) -> Response:
    """Return bytes in memory like `stored_file`."""
    info = FileInfo(filename, len(content), blake3(content).hexdigest()[:32], 0.0)
    headers = safe_headers(content_type, filename, content[:SNIFFED_BYTES])
    return await _served(
        request, info, lambda start, end: once(content[start:end]), headers, content_type
    )


async def _served(
    request: Request,
    info: FileInfo,
    read: Callable[[int, int], AsyncIterator[bytes]],
    headers: dict[str, str],
    content_type: str,
) -> Response:
    headers["ETag"] = etag(info.etag)
    if info.modified_at:
        headers["Last-Modified"] = formatdate(info.modified_at, usegmt=True)
    if _is_unchanged(request, info, headers.get("Last-Modified")):
        return Response(status_code=304, headers=headers)
    headers["Accept-Ranges"] = "bytes"
    try:
        span = byte_range(request.headers, info.size_bytes, info.etag)
    except Unsatisfiable:
        headers["Content-Range"] = f"bytes */{info.size_bytes}"
        return Response(status_code=416, headers=headers)
    start, end = span or (0, info.size_bytes)
    headers["Content-Length"] = str(end - start)
    if span:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{info.size_bytes}"
    status = 206 if span else 200
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=content_type)
    if end - start <= MAX_ONE_PIECE_BYTES:
        content = b"".join([piece async for piece in read(start, end)])
        return Response(content, status, headers, media_type=content_type)
    return StreamingResponse(read(start, end), status, headers, media_type=content_type)


def _is_unchanged(request: Request, info: FileInfo, modified: str | None) -> bool:
    """Return whether the client has the file. A date counts only if no ETag is sent."""
    if (tags := request.headers.get("if-none-match")) is not None:
        return is_known(info.etag, tags)
    return modified is not None and request.headers.get("if-modified-since") == modified


def byte_range(headers: Mapping[str, str], size: int, version: str) -> tuple[int, int] | None:
    """Return (start, end) of a requested range, end exclusive; None for the whole file.

    Multiple ranges and invalid ones are ignored, which RFC 9110 allows. Raises Unsatisfiable.
    """
    wanted = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if wanted is None or headers.get("if-range", etag(version)) != etag(version):
        return None
    first, last = wanted.groups()
    if first:
        start, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, end = max(size - int(last), 0), size
    else:
        return None
    if start >= end:
        raise Unsatisfiable
    return start, end


def safe_headers(content_type: str, filename: str, head: bytes = b"") -> dict[str, str]:
    """Return headers that prevent untrusted content from running in our origin.

    `head`: the first bytes of the file.
    """
    disposition = "inline" if is_inline(content_type, head) else "attachment"
    return {
        "Content-Disposition": named(disposition, filename),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, no-cache",
    }


def named(disposition: str, filename: str) -> str:
    """Return a Content-Disposition with a file name (RFC 6266)."""
    quoted = quote(filename, safe="")
    if quoted == filename:
        return f'{disposition}; filename="{filename}"'
    return f"{disposition}; filename*=utf-8''{quoted}"
