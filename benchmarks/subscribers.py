"""Many WebSocket subscribers in a process of their own: `python -m benchmarks.subscribers` reads
the gateway's address, how many, and for how many steps from its standard input. It says "ready",
and at the end when each of them heard of which step."""

import asyncio
import base64
import json
import os
import re
import sys
import time
from urllib.parse import urlsplit

STEP = re.compile(rb'"step":(\d+)')


class Subscriber(asyncio.Protocol):
    """Does no more than a handshake, and looks for steps in what comes."""

    def __init__(self, host: str, last: int, heard: list[tuple[int, float]]) -> None:
        self._host = host
        self._last = last
        self._heard = heard
        self._step = 0
        self.open = asyncio.get_running_loop().create_future()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        assert hasattr(transport, "write")
        transport.write(request.encode())

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self.open.done():
            self.open.set_result(data.startswith(b"HTTP/1.1 101"))
        for found in STEP.finditer(data):
            if (step := int(found[1])) > self._step:
                self._step = step
                self._heard.append((step, now))
        if self._step >= self._last and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        for future in (self.open, self.done):
            if not future.done():
                future.set_exception(error or ConnectionError("the gateway has closed"))


async def main() -> None:
    order = json.loads(sys.stdin.readline())
    parts = urlsplit(order["base_url"])
    loop, heard = asyncio.get_running_loop(), list[tuple[int, float]]()
    subscribers = []
    for _ in range(order["count"]):
        _, subscriber = await loop.create_connection(
            lambda: Subscriber(parts.netloc, order["steps"], heard), parts.hostname, parts.port
        )
        if not await subscriber.open:
            raise RuntimeError("the gateway refused a WebSocket")
        subscribers.append(subscriber)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.gather(*(subscriber.done for subscriber in subscribers))
    sys.stdout.write(json.dumps(heard))


if __name__ == "__main__":
    import uvloop  # not on Windows, where tests import this file

    uvloop.run(main())
