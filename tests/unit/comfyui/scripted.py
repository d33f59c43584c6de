"""A server over a real socket that gives the answers it is told, and notes what it was asked."""

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass
class Asked:
    method: str
    path: str  # with its query, as it came
    headers: Any
    content: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.content)


@dataclass
class Scripted:
    """`answer` says what comes for a path without its query; the last answer is given for ever."""

    base: str = ""
    asked: list[Asked] = field(default_factory=list)
    _answers: dict[tuple[str, str], list[tuple[int, Any, dict[str, str]]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def answer(
        self, method: str, path: str, body: Any = b"", status: int = 200, **headers: str
    ) -> None:
        self._answers[method, path].append((status, body, headers))

    def asked_for(self, method: str, path: str) -> list[Asked]:
        return [
            one for one in self.asked if (one.method, one.path.partition("?")[0]) == (method, path)
        ]

    async def serve(self, request: web.BaseRequest) -> web.Response:
        content = await request.read()
        self.asked.append(Asked(request.method, request.raw_path, request.headers, content))
        answers = self._answers[request.method, request.raw_path.partition("?")[0]]
        if not answers:
            return web.Response(status=599)
        status, body, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(body, str | bytes):
            content = body.encode() if isinstance(body, str) else body
        else:
            content, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, body=content, headers=named)


@asynccontextmanager
async def scripted() -> AsyncIterator[Scripted]:
    server = Scripted()
    runner = web.ServerRunner(web.Server(server.serve), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield server
    await runner.cleanup()
