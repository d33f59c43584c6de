"""A relay in front of a ComfyUI that notes when its events pass."""

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

PROGRESS = re.compile(rb'"type": "progress", "data": \{"value": (\d+)')


class Tap:
    def __init__(self, port: int) -> None:
        self.passed: dict[int, float] = {}  # by step: when the event went on to the gateway
        self._comfyui_port = port
        self._server: asyncio.Server

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Tap"]:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        try:
            yield self
        finally:
            self._server.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._comfyui_port)
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, back), self._pass(there, writer, note=True))

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, note: bool = False
    ) -> None:
        while data := await reader.read(1 << 16):
            if note:
                for found in PROGRESS.finditer(data):
                    self.passed[int(found[1])] = time.monotonic()
            writer.write(data)
        writer.close()
