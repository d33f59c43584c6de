"""What no route of ComfyUI's answers, told as ComfyUI tells it.

Its page's files are below the root: a GET of anything unknown is a file that is not there, an empty
404. Any other method is none that files have, a 405 in aiohttp's words. It has no redirects from
/queue/ to /queue. (Recorded: discovery of 0.3.64.)
"""

from collections.abc import Sequence

from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Match, Route
from starlette.types import Receive, Scope, Send

PATH = "/comfy/{rest:path}"
_READS = ("GET", "HEAD")
# Routes that change or show the machine, which are not here: whatever the method.
_NEVER = ("/comfy/internal/", "/comfy/manager/", "/comfy/customnode/", "/comfy/api/v2/")


class Unknown:
    """An ASGI app for the last route: all methods, all other paths. `routes`: those before."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response:
        method = scope["method"]
        if method in _READS or scope["path"].startswith(_NEVER):
            return Response(status_code=404)
        allowed = {"Allow": ",".join(sorted({*_READS, *self._methods_of(scope)}))}
        if method == "OPTIONS":
            return Response(headers=allowed)
        return PlainTextResponse("405: Method Not Allowed", 405, allowed)

    def _methods_of(self, scope: Scope) -> set[str]:
        methods = set[str]()
        for route in self._routes:
            if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE:
                methods |= route.methods or set()
        return methods


def rest_of(routes: Sequence[BaseRoute]) -> Route:
    """Return the route of all that these do not answer."""
    return Route(PATH, Unknown(tuple(routes)))
