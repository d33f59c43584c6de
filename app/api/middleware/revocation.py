"""Ends streams (WebSockets, server-sent events) when their API key is revoked."""

import asyncio
from contextlib import ExitStack, suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.middleware.request_log import begins_stream
from app.api.middleware.websocket_auth import REFUSED
from app.auth.authenticator import Access
from app.auth.model import AccessKey

_REASON = "the API key, or its URL, was revoked"
_CLOSED = {"type": "websocket.close", "code": REFUSED, "reason": _REASON}
_ENDED = {"type": "http.response.body", "body": b"", "more_body": False}


async def serve_until_revoked(
    app: ASGIApp, access: Access, key: AccessKey, scope: Scope, receive: Receive, send: Send
) -> None:
    """Serve a request; if it is a stream, cancel it when the key is revoked.

    Other requests were allowed when they began, and may complete.
    """
    serving = asyncio.current_task()
    assert serving is not None
    revoked = False

    def end() -> None:
        nonlocal revoked
        revoked = True
        serving.cancel()

    with ExitStack() as stack:

        async def watched(message: Message) -> None:
            if begins_stream(message):
                stack.enter_context(access.until_revoked(key, end))
            await send(message)

        try:
            await app(scope, receive, watched)
        except asyncio.CancelledError:
            if not revoked or serving.uncancel() > 0:  # cancelled for another reason
                raise
            with suppress(OSError, RuntimeError):  # the client may be gone
                await send(_CLOSED if scope["type"] == "websocket" else _ENDED)
