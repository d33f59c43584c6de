"""The id, log line and metrics of every request."""

import logging
import re
import time
from collections.abc import Iterable, Mapping
from random import getrandbits  # ids are no secrets, and the system's randomness takes its time
from typing import Any

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.access_levels import endpoints_of
from app.api.middleware.heads import add_missing, header
from app.api.v2_errors import V2_REQUEST_ID, is_v2, keep_request_id
from app.errors import GatewayError
from app.logs import current_request, facts

log = logging.getLogger(__name__)

REQUEST_ID = "X-Request-Id"
_NAME, _V2_NAME = REQUEST_ID.lower().encode(), V2_REQUEST_ID.lower().encode()
_USABLE = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_BEGINNINGS = {"http.response.start", "websocket.http.response.start", "websocket.accept"}
# Polled every few seconds by machines, so logged at debug level.
_QUIET = ("/api/health", "/api/ready", "/metrics")


class RequestLog:
    """ASGI middleware. Bodies, queries and values in paths are never logged."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute] = ()) -> None:
        """`routes`: all of the application; of those that are not FastAPI's a request does not tell
        which one it had."""
        self._app = app
        self._paths = {each.answered_by: each.path for each in endpoints_of(routes)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        name = _V2_NAME if is_v2(scope) else _NAME
        given = header(scope, name)
        if name is _V2_NAME:
            given = given or header(scope, _NAME)
        request_id = id_of(given)
        keep_request_id(scope, request_id)
        token = current_request.set(request_id)
        seen = _Seen(scope, self._paths)

        async def watched(message: Message) -> None:
            kind = message["type"]
            if kind in _BEGINNINGS:
                seen.look_at(message)
                if kind != "websocket.accept":
                    add_missing(message, [(name, request_id.encode())])
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except RuntimeError as error:
            # Starlette's, as no other answer can be given; without an end uvicorn cuts it off
            if not (seen.began and isinstance(error.__cause__, GatewayError)):
                raise
            log.warning("an answer breaks off: %s", error.__cause__.detail)
        finally:
            seen.tell()
            current_request.reset(token)


def id_of(given: str | None) -> str:
    """Return the client's request id if it is loggable, else a new one."""
    return given if given and _USABLE.fullmatch(given) else f"{getrandbits(128):032x}"


class _Seen:
    """The data for the log line of one request."""

    def __init__(self, scope: Scope, paths: Mapping[object, str]) -> None:
        self._scope = scope
        self._paths = paths
        self._began = time.perf_counter()
        self._status = 499 if scope["type"] == "http" else 403  # default if no response is sent
        self._is_stream = scope["type"] == "websocket"
        self.began = False  # the answer, which has a status by then

    def look_at(self, message: Message) -> None:
        self.began = True
        self._status = message.get("status", 101)  # an accepted WebSocket has none
        self._is_stream = self._is_stream or begins_stream(message)

    def tell(self) -> None:
        seconds = time.perf_counter() - self._began
        method = self._scope.get("method", "WS")
        route = route_of(self._scope, self._paths)
        key = None
        if gateway := self._scope.get("state", {}).get("gateway"):
            key = gateway.caller.name  # of the API key, if there is one
            took = None if self._is_stream else seconds
            gateway.metrics.request(method, route, self._status, took)
        level = logging.DEBUG if route in _QUIET and self._status < 400 else logging.INFO
        told: dict[str, Any] = {"status": self._status, "ms": round(seconds * 1000, 1)}
        if key is not None:
            told["key"] = key
        log.log(level, "%s %s", method, route, extra=facts(**told))


def begins_stream(message: Message) -> bool:
    """Return whether the response is a stream without a natural end."""
    if message["type"] == "http.response.start":
        return (header(message, b"content-type") or "").startswith("text/event-stream")
    return bool(message["type"] == "websocket.accept")


def route_of(scope: Scope, paths: Mapping[object, str]) -> str:
    """Return the route's template; values in the path may be private, and are unlimited.

    `paths`: by the endpoint of each route.
    """
    route = scope.get("route")
    return str(getattr(route, "path", None) or paths.get(scope.get("endpoint")) or "unmatched")
