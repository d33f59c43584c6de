"""Hubs of several replicas on one Redis, and what tests of them ask for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from app.events.hub import Hub
from app.events.subscription import Interrupted, Subscription, Update
from app.redis import connect
from app.tasks.model import Status
from tests.conftest import WAIT, wait_until
from tests.redis_server import RedisServer
from tests.unit.tasks import test_model

TASK = replace(test_model.TASK, task_id="a", created_at=1.0, started_at=2.0)
BORN = "1970-01-01T00:00:01.000Z"
ENDED: dict[str, Any] = {"status": Status.SUCCEEDED, "finished_at": 3.0}


@contextlib.asynccontextmanager
async def replica(redis: RedisServer, *, wait: bool = True) -> AsyncIterator[Hub]:
    """A hub that is carried."""
    from app.events.redis_bus import RedisEventBus  # which needs the optional package

    hub, client = Hub(), connect(redis.url)
    hub.event_bus = RedisEventBus(client, hub)
    running = asyncio.create_task(hub.event_bus.run())
    try:
        if wait:
            await wait_until(lambda: not hub.interruption)
        yield hub
    finally:
        running.cancel()
        await asyncio.wait([running])
        await hub.event_bus.flush()
        await client.aclose()


async def until(updates: Subscription, **end: Any) -> list[Update]:
    """All updates up to the one with this in its data."""
    found: list[Update] = []
    async with asyncio.timeout(WAIT):
        while not found or any(found[-1].data.get(name) != end[name] for name in end):
            found.append(await updates.get())
    return found


def shown(updates: list[Update]) -> list[Any]:
    return [(update.id, update.task_id, update.type, update.data) for update in updates]


def numbers(updates: list[Update]) -> list[int]:
    return [update.data["n"] for update in updates if "n" in update.data]


def tell(hub: Hub, task_id: str, type: Any, data: Any, image: bytes = b"", **fields: Any) -> None:
    """Publish this, of a task with these fields."""
    hub.publish(replace(TASK, task_id=task_id, **fields), type, lambda: data, image)


def publish(hub: Hub, *counts: int, type: Any = "output") -> None:
    for number in counts:
        tell(hub, "a", type, {"n": number})


async def until_ended(updates: Subscription) -> list[Update]:
    """What came before the stream was let go."""
    found: list[Update] = []
    async with asyncio.timeout(WAIT):
        while True:
            try:
                found.append(await updates.get())
            except Interrupted:
                return found


async def away(*hubs: Hub) -> None:
    await wait_until(lambda: all(hub.interruption for hub in hubs))


async def back(*hubs: Hub) -> None:
    await wait_until(lambda: not any(hub.interruption for hub in hubs))


async def cut(redis: RedisServer, hub: Hub) -> None:
    """Reset the connections of one replica."""
    pool = hub.event_bus._redis.connection_pool  # type: ignore[union-attr]
    async with connect(redis.url) as admin:
        for connection in [*pool._in_use_connections, *pool._available_connections]:
            if connection._writer is None:  # not connected yet
                continue
            host, port = connection._writer.get_extra_info("sockname")
            await admin.client_kill_filter(addr=f"{host}:{port}")
