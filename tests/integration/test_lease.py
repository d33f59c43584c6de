"""A process that is busy for two thirds of its lease keeps its tasks, whenever that is."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from app.db.claims import Claims
from app.db.engine.database import open_database
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.tables import tasks
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import model_free, over, wait_until
from tests.databases import KINDS, database_url

LEASE = 15.0  # seconds, as by default: with less, less is left for a machine that is slow itself
BUSY = 11.0  # seconds in which the loop does nothing else


class Vulture:
    """Another process on the same database, which takes what has no live owner."""

    def __init__(self, url: str, servers: list[str]) -> None:
        self._url = url
        self._servers = servers
        self._over = threading.Event()
        self.looks = 0
        self.taken: list[str] = []
        self.thread = threading.Thread(target=lambda: asyncio.run(self._hunt()))

    async def _hunt(self) -> None:
        database = await open_database(self._url)
        lease = Lease("another", 60)
        queue, claims = Queue(database, lease), Claims(database, lease)
        while not self._over.is_set():
            for claim in await queue.take_over(self._servers):
                self.taken.append(claim.task.task_id)
                await claims.let_go(claim.task.task_id)
            self.looks += 1
            await asyncio.sleep(0.02)
        await database.close()

    def stop(self) -> None:
        self._over.set()
        self.thread.join()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
async def test_a_loop_that_is_busy_costs_no_lease(
    kind: str, demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    demo.knobs.stall = True
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url, lease_seconds=LEASE) as gateway,
    ):
        task = await gateway.submit(model_free(), wait=0)
        await gateway.until(task["task_id"], "running")
        vulture = Vulture(url, [demo.address])
        vulture.thread.start()
        try:
            await before_a_renewal(url)
            time.sleep(BUSY)  # noqa: ASYNC251
            await next_renewal(url)
        finally:
            await asyncio.to_thread(vulture.stop)
        assert vulture.looks > 20
        assert vulture.taken == []
        demo.knobs.stall = False
        assert (await gateway.until(task["task_id"], "succeeded"))["attempts"][0]["ran"]


async def next_renewal(url: str) -> float:
    """The moment of the next one."""
    database = await open_database(url)
    until = select(tasks.c.lease_until)

    async def read() -> float | None:
        return await database.read(lambda connection: connection.scalar(until))

    before = await read()

    async def is_new() -> bool:
        return await read() != before

    await wait_until(is_new)
    await database.close()
    return time.monotonic()


async def before_a_renewal(url: str) -> None:
    """Just before one is due: that is the worst moment to be busy."""
    first = await next_renewal(url)
    pause = await next_renewal(url) - first
    await asyncio.sleep(pause - 0.15)
