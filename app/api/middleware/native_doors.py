"""Lets requests of ComfyUI's own protocol through their doors (app/api/native/doors.py)."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.native.doors import Door, enter, find_door


class NativeDoors:
    """ASGI middleware. `ports`: the names of the API keys that further ports are bound to."""

    def __init__(self, app: ASGIApp, ports: Mapping[int, str | None]) -> None:
        self._app = app
        self._ports = ports

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            port = (scope.get("server") or ("", None))[1]
            if isinstance(port, int) and port in self._ports:
                enter(scope, Door("port", key_name=self._ports[port]), scope["path"])
            elif found := find_door(scope):
                enter(scope, *found)
        await self._app(scope, receive, send)
