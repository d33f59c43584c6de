"""Hubs of several replicas on one Redis: nothing is lost, doubled or out of order."""

import asyncio

import pytest

from tests.conftest import wait_until
from tests.hubs import numbers, publish, replica, shown, tell, until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.service


async def test_all_replicas_show_the_same_in_the_same_order(redis: RedisServer) -> None:
    async with replica(redis) as one, replica(redis) as two:
        heard: list[str] = []
        two.on_status(lambda task: heard.append(task.task_id))
        with one.subscribe(["a"]) as here, two.subscribe() as there:
            for number in range(50):
                tell(one, "a", "output", {"n": number})
                tell(two, "a", "status", {"n": number + 1000})
            tell(two, "b", "status", {"n": -2})
            begun = await until(there, n=-2)
            tell(one, "a", "status", {"n": -1, "finished_at": "now"})
            seen = await until(here, n=-1), begun + await until(there, n=-1)
        only_a = [update for update in seen[1] if update.task_id == "a"]
        assert shown(only_a) == shown(seen[0])
        assert sorted(numbers(seen[0])) == [-1, *range(50), *range(1000, 1050)]
        assert [n for n in numbers(seen[0]) if 0 <= n < 1000] == list(range(50))
        ids = [update.id for update in seen[1]]
        assert ids == sorted(set(ids))
        assert heard == ["a"] * 50 + ["b"], "listeners are told of what this replica did"


async def test_a_stream_resumes_at_another_replica_also_at_a_new_one(redis: RedisServer) -> None:
    async with replica(redis) as one:
        with one.subscribe(["a"]) as updates:
            publish(one, *range(10))
            last = (await until(updates, n=4))[-1].id
            await until(updates, n=9)
        async with replica(redis) as new:
            await wait_until(lambda: len(new.since("a", 0)) == 10)
            assert numbers(new.since("a", last)) == [5, 6, 7, 8, 9]
            assert shown(new.since("a", 0)) == shown(one.since("a", 0))


async def test_previews_go_to_where_somebody_watches(redis: RedisServer) -> None:
    image = bytes(range(256)) * 100
    async with replica(redis) as one, replica(redis) as two, replica(redis) as three:
        with (
            one.subscribe(["a"], previews=True) as here,
            two.subscribe(["a"], previews=True) as there,
            three.subscribe(["a"]) as without,
        ):

            async def comes() -> bool:
                tell(one, "a", "preview", {"node_id": "3"}, image)
                await asyncio.sleep(0.02)
                return two.last_preview("a", None) is not None

            await wait_until(comes)
            update = await there.get()
            assert (update.type, update.data, update.image) == ("preview", {"node_id": "3"}, image)
            tell(one, "b", "preview", {}, b"nobody follows it")
            tell(one, "a", "status", {"n": 1})
            assert {u.type for u in await until(without, n=1)} == {"status"}
            mine = await until(here, n=1)
            assert len([u for u in mine if u.type == "preview"]) <= 1, "only the newest waits"
        assert three.last_preview("a", None) is None
        with two.subscribe(previews=True) as everything:

            async def all_come() -> bool:
                tell(one, "c", "preview", {}, image)
                await asyncio.sleep(0.02)
                return two.last_preview("c", None) is not None

            await wait_until(all_come)
            assert (await everything.get()).task_id == "c"


async def test_a_flood_is_carried_whole_and_progress_is_thinned(redis: RedisServer) -> None:
    async with replica(redis) as one, replica(redis) as two:
        with two.subscribe() as updates:
            for number in range(5000):
                tell(one, "a", "progress", {"n": number})
                tell(one, f"task {number % 900}", "progress", {"n": number})
            tell(one, "a", "status", {"n": -1})
            seen = await until(updates, n=-1)
        of_a = numbers([u for u in seen if u.task_id == "a"])
        assert of_a[-2:] == [4999, -1]
        assert of_a[:-1] == sorted(of_a[:-1])
