"""Several gateways on one PostgreSQL without Redis are refused, however they overlap."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest

from app.db.engine.database import Database, open_database
from app.db.lease import Lease, new_runner_id
from app.db.runners import AnotherGateway, Runners
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, wait_until
from tests.databases import postgresql
from tests.fleet import Gateway
from tests.integration.test_process import run_to_exit
from tests.redis_server import running_redis

pytestmark = pytest.mark.service

LEASE = 2.5  # long enough for a busy machine to renew it
LONG = 60.0


@pytest.fixture
async def database() -> AsyncIterator[Database]:
    async with postgresql() as url:
        opened = await open_database(url)
        yield opened
        await opened.close()


def elsewhere() -> str:
    return f"elsewhere:1:{uuid4().hex[:12]}"


def runners(database: Database, runner_id: str = "", *, redis: bool = False) -> Runners:
    return Runners(database, Lease(runner_id or elsewhere(), LEASE), alone=not redis)


@asynccontextmanager
async def lives(process: Runners) -> AsyncIterator[None]:
    """It has joined, and renews its lease until it stops."""
    await process.join()
    running = asyncio.create_task(process.run())
    try:
        yield
    finally:
        process.stop()
        await asyncio.wait([running])


async def seconds_to_join(process: Runners) -> float:
    begun = time.monotonic()
    await process.join()
    return time.monotonic() - begun


def waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if "Waiting for its end" in r.getMessage()]


async def test_another_one_that_lives_is_named(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    other = elsewhere()
    async with lives(runners(database, other)):
        begun = time.monotonic()
        with pytest.raises(AnotherGateway) as refused:
            await runners(database).join()
        assert time.monotonic() - begun > LEASE, "a lease is waited for"
    assert other in str(refused.value)
    assert "COMFYUI_REDIS_URL" in str(refused.value)
    (said,) = waits(caplog)
    assert other in said
    caplog.clear()
    await runners(database).join()
    assert waits(caplog) == [], "the other one has left"


async def test_who_is_alone_waits_for_nothing(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await runners(database).join()
    assert waits(caplog) == []


async def test_one_that_stops_meanwhile_is_no_other(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    patient = Runners(database, Lease(elsewhere(), LONG), alone=True)
    async with lives(runners(database)):
        joining = asyncio.create_task(seconds_to_join(patient))
        await wait_until(lambda: waits(caplog))
    assert await joining < LONG


async def test_one_that_was_killed_is_waited_for(database: Database) -> None:
    killed = Runners(database, Lease(elsewhere(), 2 * LEASE), alone=True)
    await killed.join()
    assert await seconds_to_join(runners(database)) > LEASE


async def test_one_of_this_machine_that_is_gone_is_not_waited_for(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    gone = new_runner_id().split(":")[0] + ":4194999:gone"
    await runners(database, gone).join()
    await runners(database).join()
    assert waits(caplog) == []


async def test_with_redis_nobody_waits(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    async with lives(runners(database, redis=True)):
        await runners(database, redis=True).join()
        assert waits(caplog) == []
        with pytest.raises(AnotherGateway):
            await runners(database).join()


async def test_with_redis_one_without_is_waited_for_and_not_joined(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    other = elsewhere()
    async with lives(runners(database, other)):
        with pytest.raises(AnotherGateway, match=other):
            await runners(database, redis=True).join()
        joining = asyncio.create_task(seconds_to_join(runners(database, redis=True)))
        await wait_until(lambda: len(waits(caplog)) == 2)
    await joining


async def test_of_two_that_start_at_a_time_one_does(database: Database) -> None:
    refused = asyncio.Event()

    async def start(process: Runners) -> bool:
        try:
            async with lives(process):
                await refused.wait()
        except AnotherGateway:
            refused.set()
            return False
        return True

    async with asyncio.timeout(WAIT):
        both = await asyncio.gather(start(runners(database)), start(runners(database)))
    assert sorted(both) == [False, True]


async def test_processes(demo: DemoServer, tmp_path: Path) -> None:
    async with postgresql() as url, running_redis(tmp_path) as redis:
        settings = {"database_url": url, "lease_seconds": 4, "drain_seconds": 10}
        arguments = ("--comfyui-server", demo.address)
        async with Gateway(tmp_path, *arguments, **settings) as one:
            environment = {"COMFYUI_DATABASE_URL": url, "COMFYUI_LEASE_SECONDS": "4"}
            code, said = await run_to_exit("--port", "0", **environment)
            assert code not in (0, None)
            assert "Traceback" not in said
            assert said.splitlines()[-1].startswith("Another gateway uses this database: process ")
            assert f":{one.process.pid}:" in said
            assert "set COMFYUI_REDIS_URL" in said
            assert (await one.http.get("/api/health")).status_code == 200
            draining = asyncio.create_task(one.stop())
            async with Gateway(tmp_path, *arguments, **settings):
                assert not draining.done(), "one that drains is no other gateway"
                await draining
        async with (
            Gateway(tmp_path, *arguments, **settings, redis_url=redis.url),
            Gateway(tmp_path, *arguments, **settings, redis_url=redis.url),
        ):
            pass
