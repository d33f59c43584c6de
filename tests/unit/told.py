"""A server on a real port that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from aiohttp import web

NO_JSON: Any = object()


class Route:
    """What is answered, in turn; the last answer stands. A request with another JSON body than
    `json`, if there is one, is a mistake of the test's."""

    def __init__(self, wanted: Any) -> None:
        self._wanted = wanted
        self.answers = [httpx.Response(404)]
        self.call_count = 0

    @property
    def called(self) -> bool:
        return self.call_count > 0

    def respond(self, status: int = 200, **content: Any) -> "Route":
        return self.answer(httpx.Response(status, **content))

    def answer(self, *answers: httpx.Response) -> "Route":
        self.answers = list(answers)
        return self

    def take(self, body: bytes) -> httpx.Response:
        if self._wanted is not NO_JSON:
            assert json.loads(body) == self._wanted
        self.call_count += 1
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


class Told:
    """`cut`: instead of an answer the connection ends. `hold`: it stays, and nothing comes."""

    def __init__(self) -> None:
        self.base = ""
        self.cut = self.hold = False
        self.over = asyncio.Event()
        self._routes: dict[tuple[str, str], Route] = {}

    @property
    def address(self) -> str:
        return self.base.removeprefix("http://")

    def get(self, path: str) -> Route:
        return self._routes.setdefault(("GET", path), Route(NO_JSON))

    def post(self, path: str, *, json: Any = NO_JSON) -> Route:
        return self._routes.setdefault(("POST", path), Route(json))

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        if self.hold:
            await self.over.wait()
        if self.cut:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        answer = self._routes[request.method, request.path].take(body)
        kind = answer.headers.get("content-type", "application/octet-stream")
        headers = {"Content-Type": kind}
        return web.Response(status=answer.status_code, body=answer.content, headers=headers)


@asynccontextmanager
async def told() -> AsyncIterator[Told]:
    server = Told()
    runner = web.ServerRunner(web.Server(server.handle))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    server.base = f"http://{host}:{port}"
    try:
        yield server
    finally:
        server.over.set()
        await runner.cleanup()
