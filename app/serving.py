"""One gateway process: the only one of a start, or a worker of several."""

import asyncio
import gc
import logging
import os
import shutil
import socket
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import uvicorn

from app.api.uvicorn_server import GatewayServer
from app.auth.native_ports import lines_about, parse_all
from app.limits.periodic import cancel_all
from app.listening import running_on
from app.main import create_app
from app.processes import READY, Inherited
from app.settings import Settings

log = logging.getLogger(__name__)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's, as uvicorn.run has it; without a log_config, which would change our lines."""
    return uvicorn.Config("", log_config=None).get_loop_factory()


async def serve(settings: Settings, listeners: Sequence[socket.socket]) -> None:
    """Serve on bound sockets. Raises BadSettings and CannotStart."""

    async def ready() -> None:
        for line in lines_about(parse_all(settings.native_ports)):
            log.info(line)
        log.info(running_on(settings.host, listeners[0]))

    await Process(create_app(settings), settings, ready).serve(list(listeners))


async def serve_as_worker(settings: Settings, inherited: Inherited) -> None:
    """Serve on inherited sockets. The parent, too, is a socket: its end is our end."""
    parent = socket.socket(fileno=inherited.parent)
    parent.setblocking(False)

    async def ready() -> None:
        await app.state.gateway.metrics.share(inherited.folder, inherited.number)
        parent.send(READY)

    app = create_app(settings)
    process = Process(app, settings, ready)
    watching = asyncio.create_task(_stop_without(parent, process, inherited.folder))
    try:
        await process.serve([socket.socket(fileno=listener) for listener in inherited.listeners])
    finally:
        await cancel_all([watching])


async def _stop_without(parent: socket.socket, process: "Process", folder: Path) -> None:
    with suppress(OSError):
        await asyncio.get_running_loop().sock_recv(parent, 1)  # it says nothing while it lives
    log.warning("the parent of this process is gone; stopping")
    shutil.rmtree(folder, ignore_errors=True)
    process.should_exit = True


async def _nobody_waits() -> None:
    pass


class Process(GatewayServer):
    """The one server of this process: what is in memory once it has begun stays there. A garbage
    collection that looked at all of it, node types above all, stood still for 100 ms. Of what the
    start itself made (start.py) 2,000 objects are garbage: to find them takes longer than it is
    worth."""

    def __init__(
        self, app: Any, settings: Settings, ready: Callable[[], Awaitable[None]] = _nobody_waits
    ) -> None:
        super().__init__(app, settings)
        self._ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        await super().startup(sockets)
        gc.freeze()
        gc.enable()
        if not self.should_exit:
            log.info("Started server process [%d]", os.getpid())
            await self._ready()
            self._settling = asyncio.create_task(self._settle())

    async def _settle(self) -> None:
        for server in self._app.state.gateway.pool:
            await server.seen.wait()
        gc.collect()
        gc.freeze()
