"""Several gateway processes on one port: started, replaced and stopped together.

The parent's workers inherit its sockets. So whoever is idle takes the next
connection, and a worker that dies or freezes keeps none waiting: they stand in the one queue of
the socket. With SO_REUSEPORT each worker would have a queue of its own, which is lost with it, and
macOS would give all connections to one of them. uvicorn's own supervisor waits for nothing before
it replaces a worker that dies at once, and leaves its workers behind when it is killed.
"""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from app.auth.native_ports import lines_about, parse_all
from app.errors import BadSettings
from app.limits.periodic import wait_or_timeout
from app.listening import running_on
from app.settings import Settings

log = logging.getLogger(__name__)

CANNOT_START = 3  # the exit code, as uvicorn has it
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0  # seconds before a worker that ended is replaced
LASTING = 60.0  # seconds after which a worker's end has nothing to do with the one before
READY = b"ready"  # what a worker says to its parent; the parent says nothing, and its end is heard
# What workers are sent for the first, the second and each further signal to the parent: SIGINT is
# uvicorn's way to wait for no request any more when it has been told to stop before.
STEPS = ("SIGTERM", "SIGINT", "SIGKILL")  # names: Windows has no SIGKILL


class Inherited(NamedTuple):
    """What a worker has from its parent, and is told on its command line."""

    number: int
    folder: Path  # of the workers alone, for as long as the parent lives
    parent: int  # descriptors of sockets: to the parent, and those to listen on
    listeners: list[int]

    @classmethod
    def parse(cls, text: str) -> Self:
        number, parent, listeners, folder = text.split(":", 3)
        sockets = [int(part) for part in listeners.split(",")]
        return cls(int(number), Path(folder), int(parent), sockets)

    def __str__(self) -> str:
        listeners = ",".join(map(str, self.listeners))
        return f"{self.number}:{self.parent}:{listeners}:{self.folder}"


def check_workers(settings: Settings, *, demo: bool) -> None:
    """Raise BadSettings unless as many processes as wanted can share what they keep."""
    if settings.workers == 1:
        return
    wrong = f"Setting COMFYUI_WORKERS (--workers): {settings.workers} processes "
    one = "or let it be 1."
    if sys.platform == "win32":
        raise BadSettings(
            f"{wrong}cannot listen on one port on Windows. Start gateways on ports of their own "
            f"behind a proxy, {one}"
        )
    if demo:
        raise BadSettings(f"{wrong}cannot be tried out with --demo. Leave one of the two away.")
    if not settings.database_url.get_secret_value().startswith("postgresql"):
        raise BadSettings(
            f"{wrong}need PostgreSQL, and this is SQLite. Set "
            f"COMFYUI_DATABASE_URL=postgresql://USER:PASSWORD@HOST/NAME, {one}"
        )
    if settings.redis_url is None:
        raise BadSettings(
            f"{wrong}need a Redis, by which they tell each other of updates. Set "
            f"COMFYUI_REDIS_URL=redis://HOST:PORT/NUMBER, {one}"
        )


class Workers:
    """The parent of `settings.workers` processes, each run by `command` and what it inherits.

    The first worker starts alone: what it lacks all of them lack, and it is told once. Later ones
    are replaced whatever they end with, as the others may still do their work.
    """

    def __init__(
        self, settings: Settings, command: Sequence[str], listeners: Sequence[socket.socket]
    ) -> None:
        self._settings = settings
        self._command = command
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._steps = iter(STEPS)
        self._folder: Path
        self._listeners = listeners
        self._stopping = asyncio.Event()
        self._settled = asyncio.Event()  # the first worker is ready, or cannot be
        self._code = 0

    async def run(self) -> int:
        """Return the exit code when all workers have ended."""
        loop = asyncio.get_running_loop()
        for asked in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(asked) is not signal.SIG_IGN:  # nohup
                loop.add_signal_handler(asked, self.stop)
        with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
            self._folder = Path(folder)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep(1))
                await self._settled.wait()
                if not self._stopping.is_set():
                    for line in lines_about(parse_all(self._settings.native_ports)):
                        log.info(line)
                    log.info(running_on(self._settings.host, self._listeners[0]))
                for number in range(2, self._settings.workers + 1):
                    group.create_task(self._keep(number))
                await self._stopping.wait()
                for listener in self._listeners:  # what comes when no worker listens is refused
                    listener.close()
        return self._code

    def stop(self) -> None:
        """Take the next step to an end of all workers."""
        self._stopping.set()
        self._settled.set()
        step = signal.Signals[next(self._steps, STEPS[-1])]
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(step)

    async def _keep(self, number: int) -> None:
        """Run a worker, and another one when it ends, until stopped."""
        pause = FIRST_PAUSE
        while not self._stopping.is_set():
            begin = time.monotonic()
            code = await self._run(number)
            if self._stopping.is_set():
                return
            if not self._settled.is_set():
                self._code = code if code > 0 else CANNOT_START
                self.stop()
                return
            pause = FIRST_PAUSE if time.monotonic() - begin > LASTING else pause
            log.error("worker %d ended (%s); another one starts in %g s", number, code, pause)
            await wait_or_timeout(self._stopping, pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self, number: int) -> int:
        """Run one worker to its end; return its exit code."""
        ours, theirs = socket.socketpair()
        listeners = [listener.fileno() for listener in self._listeners]
        inherited = Inherited(number, self._folder, theirs.fileno(), listeners)
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs:
            self._processes[number] = process = await asyncio.create_subprocess_exec(
                *(sys.executable, *self._command, "--inherited", str(inherited)),
                pass_fds=(theirs.fileno(), *listeners),
                process_group=0,  # a terminal's Ctrl+C is for the parent, which stops the workers
            )
        if self._stopping.is_set():  # meanwhile
            process.terminate()
        try:
            if await reader.read(len(READY)) == READY:
                self._settled.set()
            return await process.wait()
        finally:
            del self._processes[number]
            writer.close()
