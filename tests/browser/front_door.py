"""One address for the gateways of all tests, which may be below a path of it.

Chromium keeps compiled scripts and a process by site and by context: a page at a new address, in a
new context, costs twice the work of one at a known address.
"""

import asyncio
import re
import sys
from typing import Any, cast


class FrontDoor(asyncio.Protocol):
    """A connection of the browser; all of it goes to the gateway that is behind the door.

    With `below` as through a proxy: the gateway is below that path, and is sent what follows it.
    Requests of other paths are refused, and stand in `strayed`.
    """

    behind = ("127.0.0.1", 0)
    below = ""
    strayed: list[str] = []  # noqa: RUF012 - one door for the whole process
    _open: set[asyncio.Transport] = set()  # noqa: RUF012 - one door for the whole process

    @classmethod
    def lead_to(cls, address: str, below: str = "") -> None:
        """To the gateway there. Connections to another one end."""
        cls.below, cls.strayed = below, []
        for transport in [*cls._open]:
            transport.abort()
        host, _, port = address.rpartition(":")
        cls.behind = (host, int(port))

    def __init__(self) -> None:
        self._within: asyncio.Transport | None = None
        self._requests = Requests(self.below) if self.below else None

    def connection_made(self, transport: Any) -> None:
        self._outside = transport
        self._open.add(transport)
        transport.pause_reading()
        self._connecting = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            within, _ = await loop.create_connection(lambda: _Within(self._outside), *self.behind)
        except OSError:
            self._outside.abort()
            return
        if self._outside.is_closing():
            within.close()
            return
        self._within = cast(asyncio.Transport, within)
        self._outside.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._within is None:
            return
        try:
            self._within.write(self._requests.without_path(data) if self._requests else data)
        except LookupError as error:
            self.strayed.append(str(error))
            self._outside.write(b"HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n")
            self._outside.close()

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self._outside)
        if self._within:
            self._within.close()


class Requests:
    """Requests on one connection, as a proxy changes them that strips the path `below`."""

    def __init__(self, below: str) -> None:
        self._below = below.encode()
        self._kept = b""  # the begin of a head
        self._body = 0  # bytes that are still to come

    def without_path(self, data: bytes) -> bytes:
        """What to send on. Raises LookupError for a request of another path."""
        self._kept += data
        sent = b""
        while self._kept:
            if not self._body:
                head, end, rest = self._kept.partition(b"\r\n\r\n")
                if not end:
                    break
                sent += self._changed(head)
                self._kept = rest
            sent += self._kept[: self._body]
            self._kept, self._body = self._kept[self._body :], max(0, self._body - len(self._kept))
        return sent

    def _changed(self, head: bytes) -> bytes:
        method, path, rest = head.split(b" ", 2)
        below, within = path[: len(self._below)], path[len(self._below) :]
        if below != self._below or within[:1] not in (b"/", b"?", b""):
            raise LookupError(f"{method.decode()} {path.decode()}")
        if not within.startswith(b"/"):
            within = b"/" + within
        length = re.search(rb"\r\ncontent-length: *(\d+)", head, re.IGNORECASE)
        is_socket = re.search(rb"\r\nupgrade: *websocket", head, re.IGNORECASE)
        self._body = sys.maxsize if is_socket else int(length[1]) if length else 0
        told = b"\r\nX-Forwarded-Prefix: %b\r\n\r\n" % self._below
        return b"%b %b %b%b" % (method, within, rest, told)


class _Within(asyncio.Protocol):
    """The same connection, between the door and the gateway."""

    def __init__(self, outside: asyncio.Transport) -> None:
        self._outside = outside

    def data_received(self, data: bytes) -> None:
        self._outside.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._outside.close()
