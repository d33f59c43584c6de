"""Limits on heads and bodies of requests, before they are read (multipart is spooled to disk).

Limits on connections are in app/api/uvicorn_server.py.
"""

from collections.abc import MutableMapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.heads import header
from app.api.problems import answer, document
from app.errors import HeadTooLarge, InvalidRequest, PayloadTooLarge

HELD = "held"  # key of the request's state: callbacks that release the memory for its body
MAX_HEAD = 64 * 1024  # bytes of URL and headers
# Seconds without progress after which a client that sends a request or reads a response is
# disconnected.
CLIENT_TIMEOUT_SECONDS = 30.0


class RequestLimits:
    """ASGI middleware: 431 beyond MAX_HEAD, 413 beyond a body of `max_bytes`.

    400 for a NUL in the URL, since no name contains one and PostgreSQL fails on it.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._too_large = f"The body is larger than the {max_bytes} bytes that are allowed."

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _head_size(scope) > MAX_HEAD:
            text = f"The URL and the headers are larger than the {MAX_HEAD} bytes that are allowed."
            await answer(scope, document(HeadTooLarge(text)))(scope, receive, send)
            return
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            text = "The URL holds a NUL character (%00): nothing here has one in its name."
            await answer(scope, document(InvalidRequest(text)))(scope, receive, send)
            return
        length = header(scope, b"content-length") or ""
        if length.isdigit() and int(length) > self._max_bytes:
            await answer(scope, document(PayloadTooLarge(self._too_large)))(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise HTTPException(413, self._too_large)  # body parsers let HTTPException through
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            give_back(scope)


def give_back(scope: MutableMapping[str, Any]) -> None:
    """Release the memory for the body of a request."""
    for free in scope.get("state", {}).pop(HELD, ()):
        free()


def _head_size(scope: Scope) -> int:
    size = len(scope["raw_path"]) + len(scope["query_string"])
    for name, value in scope["headers"]:
        size += len(name) + len(value)
    return size
