"""A bare HTTP/1.1 connection, so cheap that it is not what a benchmark measures."""

import asyncio
import json
from typing import Any, NamedTuple, Self
from urllib.parse import urlsplit

import httptools


class Answer(NamedTuple):
    status: int
    size: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def encoded(host: str, method: str, path: str, body: Any = None) -> bytes:
    """A whole request; a body that is not bytes becomes JSON."""
    content = (
        body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    )
    head = f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(content)}\r\n"
    kind = "Content-Type: application/json\r\n" if content else ""
    return f"{head}{kind}\r\n".encode() + content


class Connection(asyncio.Protocol):
    """One kept connection; one request at a time. Bodies are counted, and kept if wanted."""

    def __init__(self, *, keep: bool = True) -> None:
        self._keep = keep
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[Answer]
        self.host = ""
        self._begin()

    @classmethod
    async def open(cls, base_url: str, *, keep: bool = True) -> Self:
        parts = urlsplit(base_url)
        host, port = parts.hostname or "127.0.0.1", parts.port or 80
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(lambda: cls(keep=keep), host, port)
        connection.host = f"{host}:{port}"
        return connection

    async def ask(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.send(encoded(self.host, method, path, body))

    async def send(self, request: bytes) -> Answer:
        if self._transport.is_closing():
            raise ConnectionError("the server has closed the connection")
        self._answer = asyncio.get_running_loop().create_future()
        self._begin()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        self._transport.close()

    # -- asyncio's and the parser's calls -------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if hasattr(self, "_answer") and not self._answer.done():
            self._answer.set_exception(error or ConnectionError("closed before the answer"))

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._keep:
            self._body += body

    def on_message_complete(self) -> None:
        if not self._answer.done():
            status = self._parser.get_status_code()
            self._answer.set_result(Answer(status, self._size, bytes(self._body)))

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._size = 0
