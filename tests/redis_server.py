"""A Redis of a test's own: to be killed, frozen and started again."""

import asyncio
import contextlib
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

from app.redis import connect
from app.settings import Settings
from tests import services
from tests.conftest import wait_until
from tests.ports import free_port


class RedisServer:
    """`redis-server` without a disk. Started again it is empty, on the same port."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program = program
        self._folder = folder
        self.port = free_port()
        self.process: asyncio.subprocess.Process

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    async def start(self) -> None:
        options = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        self.process = await asyncio.create_subprocess_exec(
            self._program,
            *(word for name, value in options.items() for word in (f"--{name}", str(value))),
            stdout=asyncio.subprocess.DEVNULL,
            cwd=self._folder,
        )
        await wait_until(self._answers)

    async def _answers(self) -> bool:
        from redis.exceptions import RedisError  # optional, as all of its package

        async with connect(self.url) as client:
            try:
                return bool(await client.ping())
            except (RedisError, OSError):
                return False

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    def freeze(self) -> None:
        """It takes connections, and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def running_redis(folder: Path) -> AsyncIterator[RedisServer]:
    """Skips where Redis or its Python package is not installed."""
    services.package("redis")
    server = RedisServer(services.program("redis-server"), folder)
    await server.start()
    try:
        yield server
    finally:
        if server.process.returncode is None:
            await server.kill()


@contextlib.asynccontextmanager
async def shared_settings(
    settings_for: Callable[..., Settings], url: str
) -> AsyncIterator[Callable[..., Settings]]:
    """For several gateways on the database `url`: on PostgreSQL they need a Redis."""
    make = partial(settings_for, database_url=url)
    if url.startswith("sqlite"):
        yield make
        return
    with tempfile.TemporaryDirectory() as folder:
        async with running_redis(Path(folder)) as redis:
            yield partial(make, redis_url=redis.url)
