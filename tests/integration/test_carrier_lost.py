"""Hubs of several replicas whose Redis is lost: streams end, and nothing is lost without that."""

import asyncio
from typing import Any

import pytest

from app.events.hub import Hub
from app.events.subscription import Interrupted
from app.redis import connect
from tests.conftest import WAIT, wait_until
from tests.hubs import (
    BORN,
    ENDED,
    away,
    back,
    cut,
    numbers,
    publish,
    replica,
    shown,
    tell,
    until,
    until_ended,
)
from tests.redis_server import RedisServer

pytestmark = pytest.mark.service


def _run_one(hub: Hub, task_id: str) -> None:
    for status in ("queued", "running"):
        tell(hub, task_id, "status", {"status": status})
    tell(hub, task_id, "output", {"node_id": "9"})
    tell(hub, task_id, "status", {"status": "succeeded"})


async def test_redis_killed_and_back(redis: RedisServer) -> None:
    async with replica(redis) as one, replica(redis) as two:
        with (
            one.subscribe(["a"]) as here,
            two.subscribe(["a"]) as there,
            one.subscribe(["a"], lasts=True) as waiting,
        ):
            publish(one, *range(100))
            await until(there, n=99)
            await redis.kill()
            publish(one, *range(100, 120))  # some of them are on their way when it is noticed
            for seen in (await until_ended(here), await until_ended(there)):
                assert numbers(seen) == list(range(len(seen)))
            await away(one, two)
            with one.subscribe(["a"]) as refused:
                assert await until_ended(refused) == []
            publish(one, *range(120, 139))
            tell(one, "a", "status", {"n": 139, "finished_at": "now"}, **ENDED)
            assert numbers([await waiting.get()]) == [139], "the end is told at once"
            await redis.start()
            await back(one, two)
        with one.subscribe(["a"]) as here, two.subscribe(["a"]) as there:
            publish(one, *range(140, 160))
            for updates in (here, there):
                assert numbers(await until(updates, n=159))[-20:] == list(range(140, 160))
        for hub in (one, two):
            assert numbers(hub.since("a", 0)) == list(range(160)), "who resumes misses nothing"
        ids = [update.id for update in one.since("a", 0)]
        assert ids == sorted(set(ids))
        assert shown(one.since("a", ids[110])) == shown(two.since("a", ids[110]))


async def test_what_a_task_did_while_redis_was_away_is_sent_in_its_order(
    redis: RedisServer,
) -> None:
    """Of its progress only the newest."""
    async with replica(redis) as one, replica(redis) as two:
        await redis.kill()
        await away(one, two)
        publish(one, 1, type="status")
        publish(one, 2, 3, type="progress")
        publish(one, 4, type="status")
        publish(one, 5, 6, type="output")
        publish(one, 7, type="status")
        await redis.start()
        await back(one, two)
        await wait_until(lambda: len(two.since("a", 0)) == 6)
        assert numbers(two.since("a", 0)) == [1, 3, 4, 5, 6, 7]


async def test_a_task_of_the_time_while_redis_hangs_is_replayed_whole(redis: RedisServer) -> None:
    """Each update is of the task created then, also where its first status comes late or never."""
    async with replica(redis) as one, replica(redis) as two:
        redis.freeze()
        _run_one(one, "new")
        await away(one, two)
        _run_one(one, "newer")
        redis.thaw()
        await back(one, two)
        for hub in (one, two):
            for task_id in ("new", "newer"):
                await wait_until(lambda hub=hub, id=task_id: len(hub.since(id, 0)) == 4)
                types = [update.type for update in hub.since(task_id, 0, BORN)]
                assert types == ["status", "status", "output", "status"]


async def test_who_did_not_hear_of_a_tasks_creation_is_told(redis: RedisServer) -> None:
    async with replica(redis) as one:
        tell(one, "a", "status", {"n": 1})
        await wait_until(lambda: one.since("a", 0))
        await redis.kill()
        await away(one)
        await redis.start()  # without what was in it
        await back(one)
        async with replica(redis) as two:
            publish(one, 2)
            await wait_until(lambda: two.since("a", 0))
            assert numbers(two.since("a", 0, BORN)) == [2]


async def test_one_replica_is_cut_off(redis: RedisServer) -> None:
    """Its streams end, once. Those of the others stay, and miss nothing of what it does."""
    async with replica(redis) as one, replica(redis) as two:
        with one.subscribe(["a"]) as here, two.subscribe(["a"]) as there:
            publish(one, *range(10))
            await until(there, n=9)
            await cut(redis, one)
            await until_ended(here)
            publish(one, *range(10, 20))
            publish(two, *range(100, 110))
            await back(one)
            with one.subscribe(["a"]) as again:
                publish(one, 20)
                assert numbers(await until(again, n=20))[-1] == 20
                own = [n for n in numbers(await until(there, n=20)) if n < 100]
                assert own == list(range(10, 21)), "streams of the other replica stay"
            for hub in (one, two):
                kept = numbers(hub.since("a", 0))
                assert sorted(kept) == [*range(21), *range(100, 110)]


async def test_a_connection_reset_ends_streams_once(redis: RedisServer) -> None:
    async with replica(redis) as one, replica(redis) as two:
        ends = {one: 0, two: 0}
        seen: dict[Hub, list[int]] = {one: [], two: []}

        async def follow(hub: Hub) -> None:
            while 300 not in seen[hub]:
                await back(hub)
                with hub.subscribe(["a"]) as updates:
                    try:
                        seen[hub] += numbers(await until(updates, n=300))
                    except Interrupted:
                        ends[hub] += 1

        following = [asyncio.create_task(follow(hub)) for hub in (one, two)]
        await wait_until(lambda: one.subscribers == two.subscribers == 1)
        async with connect(redis.url) as admin:
            await admin.client_kill_filter(_type="normal", skipme=True)
            await admin.client_kill_filter(_type="pubsub")
        await wait_until(lambda: all(ends.values()))
        publish(one, *range(50))
        publish(two, *range(50, 100))
        await back(one, two)
        await wait_until(lambda: one.subscribers == two.subscribers == 1)
        publish(one, 300)
        async with asyncio.timeout(WAIT):
            await asyncio.gather(*following)
        assert ends == {one: 1, two: 1}
        for hub in (one, two):
            assert sorted(numbers(hub.since("a", 0))) == [*range(100), 300]


async def test_who_drops_updates_says_so(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than can wait for Redis: the streams of the others end, too."""
    async with replica(redis) as one, replica(redis) as two:
        monkeypatch.setattr("app.events.redis_bus.MOST_WAITING", 50)
        with two.subscribe(["a"]) as there:
            publish(one, 1)
            await until(there, n=1)
            await cut(redis, one)
            await away(one)
            publish(one, *range(2, 200))
            await back(one)
            with one.subscribe(["a"]) as here:
                assert len(await until_ended(there)) < 50
                with two.subscribe(["a"]) as again:
                    publish(one, *range(200, 220))
                    for updates in (here, again):
                        assert numbers(await until(updates, n=219))[-20:] == [*range(200, 220)]


async def test_what_is_missing_in_redis_is_noticed(redis: RedisServer) -> None:
    entry: Any = {"from": "x", "task": "a", "type": "output"}
    async with replica(redis) as one, connect(redis.url) as client:
        stream = "comfyui-gateway:0:updates"
        with one.subscribe(["a"]) as updates:
            await client.xadd(stream, {**entry, "number": 1, "data": '{"n": 1}'})
            await client.xadd(stream, {**entry, "number": 3, "follows": 1, "data": '{"n": 3}'})
            assert numbers(await until(updates, n=3)) == [1, 3]
            await client.xadd(stream, {**entry, "number": 3, "follows": 1, "data": '{"n": 3}'})
            await client.xadd(stream, {**entry, "number": 5, "follows": 4, "data": '{"n": 5}'})
            assert await until_ended(updates) == []
        await wait_until(lambda: numbers(one.since("a", 0)) == [1, 3, 5])
        assert not one.interruption


async def test_redis_frozen_for_a_while(redis: RedisServer) -> None:
    """What it took and did not answer comes back when it thaws: it must not be shown twice."""
    async with replica(redis) as one, replica(redis) as two:
        with one.subscribe(["a"]) as here, two.subscribe(["a"]) as there:
            redis.freeze()
            publish(one, *range(10))
            await asyncio.gather(until_ended(here), until_ended(there))
            publish(one, 10)
            redis.thaw()
            await back(one, two)
        with one.subscribe(["a"]) as here, two.subscribe(["a"]) as there:
            publish(one, 11)
            for updates in (here, there):
                later = numbers(await until(updates, n=11))
                assert later == sorted(set(later))
        for hub in (one, two):
            assert numbers(hub.since("a", 0)) == list(range(12))


async def test_without_redis_at_the_start(redis: RedisServer) -> None:
    await redis.kill()
    async with replica(redis, wait=False) as one:
        with one.subscribe(["a"]) as updates:
            assert await until_ended(updates) == []
        publish(one, 1, 2)
        await redis.start()
        await back(one)
        with one.subscribe(["a"]) as updates:
            publish(one, 3)
            assert numbers(await until(updates, n=3))[-1] == 3
        assert numbers(one.since("a", 0)) == [1, 2, 3]
        ids = [update.id for update in one.since("a", 0)]
        assert ids == sorted(set(ids))
