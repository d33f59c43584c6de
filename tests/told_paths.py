"""Paths of the gateway in what it tells: JSON, streams and headers."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect

FIRST = ("api", "comfy", "static", "ws", "docs", "redoc", "openapi.json", "metrics")
_OURS = re.compile(rf"/(?:{'|'.join(map(re.escape, FIRST))})(?:/|$)")


def strings_in(value: Any, place: str = "") -> Iterator[tuple[str, str]]:
    """Each string in JSON with its place; names of members, which are no URLs, are left out."""
    if isinstance(value, str):
        yield place, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from strings_in(item, f"{place}.{name}")
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from strings_in(item, f"{place}.{number}")


def path_in(text: str) -> str | None:
    """The path, if the text is a URL of the gateway, absolute or relative, below whatever path."""
    if not text.startswith(("/", "http://", "https://")):
        return None
    path = urlsplit(text).path
    return path if _OURS.search(path) else None


def misplaced(told: Any, base_path: str) -> list[str]:
    """The URLs of the gateway that are not right below the path, with their places."""
    return [
        f"{place}: {text[:200]}"
        for place, text in strings_in(told)
        if (path := path_in(text) or base_path).rstrip("/") != base_path
        and not (path.startswith(base_path) and _OURS.match(path[len(base_path) :]))
    ]


def urls_in(told: Any) -> list[str]:
    return [text for _, text in strings_in(told) if path_in(text) is not None]


class Visit:
    """A client that keeps what it is told, by the request that it sent."""

    def __init__(self, http: httpx.AsyncClient, ws: str) -> None:
        self.http = http
        self.ws = ws
        self.told: list[tuple[str, Any]] = []

    async def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = await self.try_out(method, path, **options)
        assert answer.status_code < 400, (method, path, answer.text[:500])
        return self.told[-1][1]["body"]

    async def try_out(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Whatever the answer is."""
        answer = await self.http.request(method, path, **options)
        kind = answer.headers.get("content-type", "").partition(";")[0]
        body = answer.json() if kind.endswith("json") and answer.content else None
        if kind == "text/event-stream":
            body = [
                json.loads(line[6:]) for line in answer.text.splitlines() if line[:5] == "data:"
            ]
        self.told.append((f"{method} {path}", {"headers": dict(answer.headers), "body": body}))
        return answer

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Keep what a WebSocket is told meanwhile."""
        names = ("x-forwarded-prefix", "authorization")
        sent = {name: self.http.headers[name] for name in names if name in self.http.headers}
        async with connect(self.ws, additional_headers=sent) as socket:
            reading = asyncio.create_task(self._read(socket))
            try:
                yield
            finally:
                reading.cancel()
                await asyncio.wait([reading])

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            if isinstance(message, str):
                self.told.append(("WS /ws", json.loads(message)))
