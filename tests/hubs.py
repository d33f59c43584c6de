"""Hubs of several replicas on one Redis, and what tests of them ask for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from app.events.hub import Hub
from app.events.subscription import Interrupted, Subscription, Update
from app.redis import connect
from tests.conftest import wait_until
from tests.redis_server import RedisServer


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
    async with asyncio.timeout(20):
        while not found or any(found[-1].data.get(name) != end[name] for name in end):
            found.append(await updates.get())
    return found


def shown(updates: list[Update]) -> list[Any]:
    return [(update.id, update.task_id, update.type, update.data) for update in updates]


def numbers(updates: list[Update]) -> list[int]:
    return [update.data["n"] for update in updates if "n" in update.data]


def publish(hub: Hub, *counts: int, type: Any = "output") -> None:
    for number in counts:
        hub.publish("a", type, {"n": number})


async def until_ended(updates: Subscription) -> list[Update]:
    """What came before the stream was let go."""
    found: list[Update] = []
    async with asyncio.timeout(20):
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
