"""What happens before any route: hanging, refusing sockets, and the check of the Origin."""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from fake_comfyui.knobs import Knobs
from fake_comfyui.replies import rejection

_LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Gate:
    """ASGI middleware; /demo/* always gets through."""

    def __init__(self, app: ASGIApp, knobs: Knobs) -> None:
        self._app = app
        self._knobs = knobs

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"].startswith("/demo/"):
            await self._app(scope, receive, send)
            return
        if self._knobs.hang:
            await self._knobs.until_off("hang")
        status = self._refusal(scope)
        path = self._knobs.reject_path
        if status is not None:
            await Response(status_code=status)(scope, receive, send)
        elif path and self._knobs.reject_with and scope["path"].startswith(path):
            await rejection(self._knobs)(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> int | None:
        if scope["type"] == "websocket" and self._knobs.refuse_sockets:
            return 503
        headers = HTTPConnection(scope).headers
        if headers.get("sec-fetch-site") == "cross-site":
            return 403
        origin, host = headers.get("origin"), headers.get("host")
        if origin is None or host is None:
            return None
        foreign = urlsplit(origin).netloc != host
        return 403 if foreign and urlsplit(f"//{host}").hostname in _LOOPBACK else None
