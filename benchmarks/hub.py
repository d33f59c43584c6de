"""How fast updates reach subscribers: in one process, and from replica to replica over Redis.

    python -m benchmarks.hub [--updates 20000] [--subscribers 1000] [--rate 1000]

Starts a redis-server of its own. Three things are measured for each way:
publish: what one call costs the event loop; flood: updates as fast as they come; latency: from
publish to a subscriber that waits, at a steady rate, in milliseconds.
"""

import argparse
import asyncio
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from app.events.hub import Hub
from app.events.redis_bus import RedisEventBus
from app.events.subscription import Subscription
from app.redis import connect
from tests.hubs import tell
from tests.redis_server import RedisServer, running_redis

VIEW = {  # about the size of a progress update, with an ETA
    "task_id": "48ea15ed-eca4-4337-ab9e-62cd40da60a8",
    "status": "running",
    "progress": {
        "value": 0.74,
        "nodes_done": 7,
        "nodes_total": 10,
        "current_node": "3",
        "class_type": "KSampler",
        "step": 6.0,
        "steps": 15.0,
        "node_seconds": {str(node): 0.123 for node in range(7)},
    },
    "eta_seconds": 0.8,
}


@contextlib.asynccontextmanager
async def in_process(_: RedisServer) -> AsyncIterator[tuple[Hub, Hub]]:
    hub = Hub()
    yield hub, hub


@contextlib.asynccontextmanager
async def over_redis(redis: RedisServer) -> AsyncIterator[tuple[Hub, Hub]]:
    """Two replicas; both in this process, which therefore does the work of both."""
    hubs, running = (Hub(), Hub()), []
    for hub in hubs:
        hub.event_bus = RedisEventBus(connect(redis.url), hub)
        running.append(asyncio.create_task(hub.event_bus.run()))
    while not all(hub.last_id for hub in hubs):
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    yield hubs
    for task in running:
        task.cancel()
    await asyncio.wait(running)


async def flood(here: Hub, there: Hub, updates: int) -> tuple[float, float]:
    """Microseconds of a publish, and updates a second from the first publish to the last one's
    arrival. Of a type that is not thinned; in portions that a subscriber may be behind."""
    cost = 0.0
    began = time.perf_counter()
    with there.subscribe(["flood"]) as subscription:
        for first in range(0, updates, 500):
            start = time.perf_counter()
            for number in range(first, first + 500):
                tell(here, "flood", "output", {**VIEW, "n": number})
            cost += time.perf_counter() - start
            await until(subscription, first + 499)
    return cost / updates * 1e6, updates / (time.perf_counter() - began)


async def until(subscription: Subscription, number: int) -> None:
    while (await subscription.get()).data.get("n") != number:
        pass


async def latency(
    here: Hub, there: Hub, *, rate: int, seconds: float, followers: int
) -> list[float]:
    """Milliseconds from publish to a subscriber, while so many follow tasks of their own."""
    found: list[float] = []

    async def follow(task_id: str) -> None:
        with there.subscribe([task_id], previews=True) as subscription:
            while True:
                update = await subscription.get()
                found.append((time.perf_counter() - update.data["at"]) * 1000)

    following = [asyncio.create_task(follow(f"task {number}")) for number in range(followers)]
    await asyncio.sleep(0.3)
    began = time.perf_counter()
    for number in range(int(rate * seconds)):
        due = began + number / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        data = {**VIEW, "at": time.perf_counter()}
        tell(here, f"task {number % followers}", "progress", data)
    await asyncio.sleep(0.5)
    for task in following:
        task.cancel()
    await asyncio.wait(following)
    return sorted(found)


async def previews(here: Hub, there: Hub, count: int, size: int) -> float:
    """Previews a second that arrive, each after the one before."""
    image = bytes(size)
    with there.subscribe(["seen"], previews=True) as subscription:
        await asyncio.sleep(0.6)
        began = time.perf_counter()
        for _ in range(count):
            tell(here, "seen", "preview", {"node_id": "3"}, image)
            while (await subscription.get()).type != "preview":
                pass
        return count / (time.perf_counter() - began)


async def measure(name: str, way: Any, redis: RedisServer, options: argparse.Namespace) -> None:
    async with way(redis) as (here, there):
        cost, throughput = await flood(here, there, options.updates)
        waits = await latency(
            here, there, rate=options.rate, seconds=5, followers=options.subscribers
        )
        images = await previews(here, there, 300, 20_000)
    expected = options.rate * 5
    print(
        f"| {name} | {cost:.1f} | {throughput:,.0f} | {statistics.median(waits):.2f} "
        f"| {waits[int(len(waits) * 0.99)]:.2f} | {waits[-1]:.1f} | {len(waits)}/{expected} "
        f"| {images:,.0f} |"
    )


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--updates", type=int, default=20_000)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--rate", type=int, default=1000)
    options = parser.parse_args()
    print(f"{options.subscribers} subscribers, {options.rate} updates/s for the latency")
    print("| way | publish, µs | updates/s | p50, ms | p99, ms | max, ms | arrived | previews/s |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        async with running_redis(Path(folder)) as redis:
            await measure("in process", in_process, redis, options)
            await measure("over Redis", over_redis, redis, options)


if __name__ == "__main__":
    asyncio.run(main())
