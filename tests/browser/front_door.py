"""One address for the gateways of all tests.

Chromium keeps compiled scripts and a process by site and by context: a page at a new address, in a
new context, costs twice the work of one at a known address.
"""

import asyncio
from typing import Any, cast


class FrontDoor(asyncio.Protocol):
    """A connection of the browser; all of it goes to the gateway that is behind the door."""

    behind = ("127.0.0.1", 0)
    _open: set[asyncio.Transport] = set()  # noqa: RUF012 - one door for the whole process

    @classmethod
    def lead_to(cls, address: str) -> None:
        """To the gateway there. Connections to another one end."""
        for transport in [*cls._open]:
            transport.abort()
        host, _, port = address.rpartition(":")
        cls.behind = (host, int(port))

    def __init__(self) -> None:
        self._within: asyncio.Transport | None = None

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
        if self._within:
            self._within.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._open.discard(self._outside)
        if self._within:
            self._within.close()


class _Within(asyncio.Protocol):
    """The same connection, between the door and the gateway."""

    def __init__(self, outside: asyncio.Transport) -> None:
        self._outside = outside

    def data_received(self, data: bytes) -> None:
        self._outside.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        self._outside.close()
