"""Further routes of node packs, passed through to one server each: COMFYUI_NATIVE_PASS."""

import re
from collections.abc import AsyncIterator, Iterable
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from app.api.access_levels import requires
from app.api.bodies import read_body
from app.api.deps import gateway_of
from app.api.file_response import named
from app.api.native.doors import PREFIX
from app.auth.model import AccessLevel
from app.errors import NoServer, NotFound
from app.files.kinds import is_inline
from app.gateway import Gateway
from app.servers.passing import Pass, passes_of
from app.servers.server import Server

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_QUERY = "%=&+;/?:@!$'()*,-._~[]"  # what a query may have without being quoted


class PassedRoute(Route):
    """The routes of one entry of the setting."""

    def __init__(self, entry: Pass) -> None:
        self._server_id = entry.server

        @requires(AccessLevel.RUN)
        async def passed(request: Request) -> Response:
            return await _answer(request, entry.server)

        # The parameter is for a listing of routes; what matches is the pattern.
        super().__init__(f"{PREFIX}{entry.path.replace('*', '{rest:path}', 1)}", passed)
        self.methods = set(METHODS)
        self.path_regex = re.compile(f"^{PREFIX}{entry.regex}$")
        self.param_convertors = {}


def routes(entries: Iterable[str]) -> list[Route]:
    """Return the routes for the setting. Raises InvalidInput."""
    return [PassedRoute(entry) for entry in passes_of(entries)]


async def _answer(request: Request, server_id: str) -> Response:
    """Ask the server, and stream its answer.

    It gets method, path, query and body, and the type of that: no other header of the client, as
    these have its key. What comes back runs nothing on our origin. Raises NotFound for a path with
    `..`, NoServer, PayloadTooLarge and ComfyUnreachable.
    """
    path = request.scope["path"].removeprefix(PREFIX)
    if {".", ".."} & set(path.replace("\\", "/").split("/")):
        raise NotFound("Not Found")
    server = _server(gateway_of(request), server_id)
    asking = server.client.passed(
        request.method,
        quote(path, safe="/"),
        query=quote(request.scope["query_string"], safe=_QUERY),
        content=await read_body(request),
        content_type=request.headers.get("content-type"),
    )
    answer = await asking.__aenter__()

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.chunks:
                yield chunk
        finally:
            await asking.__aexit__(None, None, None)

    content_type = answer.content_type or "application/octet-stream"
    headers = {
        "Cache-Control": "private, no-cache",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Content-Type": content_type,
    }
    if not is_inline(content_type):
        name = path.rstrip("/").rpartition("/")[2] or "answer"
        headers["Content-Disposition"] = named("attachment", name)
    return StreamingResponse(body(), answer.status, headers)


def _server(gateway: Gateway, server_id: str) -> Server:
    if server_id not in gateway.pool:
        raise NoServer(
            f"The server {server_id} of COMFYUI_NATIVE_PASS is not in use.",
            hint="Add it with POST /api/servers, or change the setting.",
        )
    return gateway.pool.get(server_id)
