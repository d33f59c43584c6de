"""DemoServer: one demo server, run in the current event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.requests import HTTPConnection

from fake_comfyui.gate import Gate
from fake_comfyui.knobs import Knobs, Records
from fake_comfyui.machine import Machine
from fake_comfyui.order import Order, SetOrder
from fake_comfyui.routes import application
from fake_comfyui.version import NEW, OLD

_LARGEST_MESSAGE = 4 * 1024 * 1024


class CannotListen(RuntimeError):
    """Why, in one line: another program has the port, say."""


class _Uvicorn(uvicorn.Server):
    """uvicorn without its signal handlers, whose connections can be cut."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_up = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.is_up.set()

    def cut(self, connection: HTTPConnection) -> None:
        for protocol in list(self.server_state.connections):
            if getattr(protocol, "client", None) == connection.scope["client"]:
                _abort(protocol)

    def cut_all(self, *, but: HTTPConnection | None = None) -> None:
        spared = but.scope["client"] if but is not None else None
        for protocol in list(self.server_state.connections):
            if spared is None or getattr(protocol, "client", None) != spared:
                _abort(protocol)

    def close(self) -> None:
        """Stop listening and cut everything."""
        for server in getattr(self, "servers", ()):
            server.close()
        self.cut_all()


class DemoServer:
    """An async context manager; `knobs` and `records` are live all the time. Raises CannotListen.

    `order`: that of outputs and of what else ComfyUI keeps in sets; without it always another one.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        step_seconds: float = 0.12,
        object_info: Path | None = None,
        directory: Path | None = None,
        jobs_api: bool = True,
        preview_method: str = "none",
        order: Order | None = None,
        on_death: Callable[[], None] | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._object_info = object_info
        self._directory = directory
        self._version = NEW if jobs_api else OLD
        self._order = order or SetOrder()
        self._on_death = on_death or self._fall_silent
        self._stack = contextlib.AsyncExitStack()
        self._machine: Machine | None = None
        self._uvicorn: _Uvicorn | None = None
        self.knobs = Knobs(step_seconds=step_seconds, preview_method=preview_method)
        self.records = Records()

    async def __aenter__(self) -> Self:
        async with contextlib.AsyncExitStack() as stack:
            listener = stack.enter_context(_listen(self._host, self._port))
            self._port = listener.getsockname()[1]
            folder = self._directory
            if folder is None:
                own = tempfile.TemporaryDirectory(prefix="demo-", ignore_cleanup_errors=True)
                folder = Path(stack.enter_context(own))
            await self._start(stack, listener, folder)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def _start(
        self, stack: contextlib.AsyncExitStack, listener: socket.socket, folder: Path
    ) -> None:
        machine = Machine(
            folder,
            self._object_info,
            self._version,
            self.knobs,
            self.records,
            self._cut,
            self._order,
        )
        machine.on_death = self._on_death
        # The application wants the connections, which are uvicorn's, which wants the application.
        config = _config(machine, self)
        self._machine, self._uvicorn = machine, _Uvicorn(config)
        serving = asyncio.create_task(self._uvicorn.serve([listener]), name="demo server")
        stack.push_async_callback(self._stop, serving)
        up = asyncio.create_task(self._uvicorn.is_up.wait())
        await asyncio.wait({up, serving}, return_when=asyncio.FIRST_COMPLETED)
        up.cancel()
        if serving.done():
            serving.result()
        machine.start()

    async def _stop(self, serving: asyncio.Task[None]) -> None:
        if self._machine is not None:
            await self._machine.stop()
        if self._uvicorn is not None:
            self._uvicorn.close()
            tasks = [serving, *self._uvicorn.server_state.tasks]
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    @property
    def address(self) -> str:
        """host:port, the port being the real one."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def restart_empty(self) -> None:
        """As if the process had been restarted: connections cut, all but the files forgotten."""
        if self._machine is not None:
            self._machine.restart_empty()
        self.cut_all()

    def cut(self, connection: HTTPConnection) -> None:
        """Cut one connection without another byte."""
        if self._uvicorn is not None:
            self._uvicorn.cut(connection)

    def cut_all(self, *, but: HTTPConnection | None = None) -> None:
        """Cut all connections, or all but one."""
        if self._uvicorn is not None:
            self._uvicorn.cut_all(but=but)

    def _cut(self, connection: HTTPConnection) -> None:
        self.cut(connection)

    def _fall_silent(self) -> None:
        """Dead in-process: nothing listens any more, all connections are gone."""
        if self._uvicorn is not None:
            self._uvicorn.close()


def leave() -> None:
    """Death for `python -m fake_comfyui`."""
    os._exit(1)


def _config(machine: Machine, server: DemoServer) -> uvicorn.Config:
    return uvicorn.Config(
        Gate(application(machine, server), machine.knobs),
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        ws_ping_interval=None,
        ws_per_message_deflate=False,
        ws_max_size=_LARGEST_MESSAGE,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio turns Nagle's delay off only where the protocol is named.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform == "win32":  # SO_REUSEADDR takes the port from who has it there
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or str(error).rstrip(".")
        raise CannotListen(
            f"Cannot listen on {host}:{port}: {reason}. Choose another port with --port."
        ) from error
    return listener


def _abort(protocol: Any) -> None:
    """No close frame, no last bytes: as when the process is killed."""
    if protocol.transport is not None:
        protocol.transport.abort()
