"""Requests below a path: a proxy serves the gateway there, and may leave the path in place."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.native.doors import at_root
from app.base_path import HEADER, told_base_path
from app.errors import BadSettings

_HEADER = HEADER.lower().encode()


class WithoutBasePath:
    """ASGI middleware that takes the base path of the settings out of paths that have it.

    The base path alone becomes an empty path, which the router redirects to the page. The scope
    itself is changed, as its server logs from it: middleware within takes secrets out of the path.
    """

    def __init__(self, app: ASGIApp, base_path: str) -> None:
        self._app = app
        self._base_path = base_path
        self._raw = base_path.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan" and self._is_below(scope["raw_path"]):
            scope["path"] = scope["path"][len(self._base_path) :]
            scope["raw_path"] = scope["raw_path"][len(self._raw) :]
        await self._app(scope, receive, send)

    def _is_below(self, raw_path: bytes) -> bool:
        """By whole segments: /comfyx is not below /comfy."""
        length = len(self._raw)
        return raw_path.startswith(self._raw) and raw_path[length : length + 1] in (b"/", b"")


def check_apart(base_path: str, routes: Iterable[BaseRoute]) -> None:
    """Raise BadSettings if routes begin as the base path does: whether a proxy has taken it out
    of a path could not be told. That it is /comfy, as door B is, does no harm: below it all of
    ComfyUI's routes are at the root as well, but for what our own API answers there."""
    first = base_path.split("/")[1:2]
    paths = [*(getattr(route, "path", "") for route in routes), *at_root()]
    if first and any(first == path.split("/")[1:2] for path in paths):
        raise BadSettings(
            f"Setting COMFYUI_ROOT_PATH: {base_path!r} begins as routes of the gateway do, which "
            f"has /{first[0]} itself. Take another path, such as /comfy{base_path}."
        )


def base_path_told_to(scope: Scope) -> str:
    """Return the base path that proxies told with this request."""
    return told_base_path([value for name, value in scope["headers"] if name == _HEADER])


def with_location_below(base_path: str, send: Send) -> Send:
    """Put the base path into the Location of a response, which names a route of this gateway.

    It becomes a path: where the router redirects it is a URL, whose scheme and host are not those
    of the client if a proxy ends TLS or changes Host.
    """

    async def telling(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [
                (name, _below(base_path, value) if name == b"location" else value)
                for name, value in message.get("headers", ())
            ]
        await send(message)

    return telling


def _below(base_path: str, location: bytes) -> bytes:
    parts = urlsplit(location.decode("latin-1"))
    path = f"{base_path}/{parts.path.lstrip('/')}"  # what begins with // would be another host
    return parts._replace(scheme="", netloc="", path=path).geturl().encode("latin-1")
