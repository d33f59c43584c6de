"""Several gateways on one PostgreSQL and one Redis: whoever drives a task, all can follow it."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import pytest
import pytest_asyncio
from websockets.asyncio.client import connect

from tests import services
from tests.conftest import ROOT, WAIT, text_to_image, wait_until
from tests.databases import postgresql
from tests.fleet import Demo, Gateway, on, stand_ins
from tests.ports import free_port
from tests.redis_server import RedisServer, running_redis

pytestmark = [pytest.mark.service, pytest.mark.asyncio(loop_scope="module")]

Json = dict[str, Any]

STEP = 0.05  # seconds of a step of sampling
LEASE = 4  # seconds: longer than a replica drains, so that it is not the lease that helps
DRAIN = 3
ENDS = ("succeeded", "failed", "canceled", "expired")


class Cluster:
    """Two gateways, a stand-in, and what they share."""

    def __init__(self, redis: RedisServer, demo: Demo, replicas: list[Gateway]) -> None:
        self.redis = redis
        self.demo = demo
        self.replicas = replicas

    async def driver_of(self, task_id: str) -> tuple[Gateway, Gateway]:
        """The replica that drives the task, the only one that runs, and one that does not."""
        one, two = self.replicas

        async def found() -> tuple[Gateway, Gateway] | None:
            if await drives(one):
                return one, two
            return (two, one) if await drives(two) else None

        driver, other = await wait_until(found)
        await driver.until(task_id, "running")
        return driver, other


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    folder = tmp_path_factory.mktemp("replicas")
    async with (
        postgresql() as database_url,
        running_redis(folder) as redis,
        stand_ins(folder, 1, step=STEP) as (demo,),
        contextlib.AsyncExitStack() as stack,
    ):
        settings = {
            "database_url": database_url,
            "redis_url": redis.url,
            "lease_seconds": LEASE,
            "drain_seconds": DRAIN,
        }
        replicas = [Gateway(folder, *on([demo]), **settings) for _ in range(2)]
        for replica in replicas:  # one after the other: the first makes the tables
            await stack.enter_async_context(replica)
        for replica in replicas:
            await replica.online(1)
        yield Cluster(redis, demo, replicas)


class Follower:
    """Reads the stream of a task, and remembers all of it."""

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.events: list[Json] = []
        self.last_id: str | None = None

    async def follow(self, replica: Gateway, *, until: Any = None, opened: Any = None) -> None:
        """To the end of the stream, or to the first event for which `until` is true.

        `opened` is awaited when the stream is open, before anything is read of it.
        """
        headers = {"last-event-id": self.last_id} if self.last_id else {}
        url = f"/api/task/{self.task_id}/events"
        async with replica.http.stream("GET", url, headers=headers) as answer:
            assert answer.status_code == 200
            if opened is not None:
                await opened()
            event: Json = {}
            async for line in answer.aiter_lines():
                key, _, value = line.partition(": ")
                if line and key:
                    event[key] = value
                elif "event" in event:
                    event["data"] = json.loads(event["data"])
                    self.events.append(event)
                    self.last_id = event["id"]
                    if until is not None and until(event):
                        return
                    event = {}

    async def to_the_end(self, *replicas: Gateway) -> None:
        """Connect again, now here and now there, as a client behind a proxy does."""
        async with asyncio.timeout(WAIT):
            while not self.has_ended:
                for replica in replicas:
                    with contextlib.suppress(httpx.TransportError):
                        await self.follow(replica)
                    if self.has_ended:
                        return

    @property
    def has_ended(self) -> bool:
        return any(data["status"] in ENDS for data in self.of("status"))

    def of(self, kind: str) -> list[Json]:
        return [event["data"] for event in self.events if event["event"] == kind]

    def ids_of(self, kind: str) -> list[str]:
        return [event["id"] for event in self.events if event["event"] == kind]

    def check(self) -> None:
        """The story is whole and goes one way."""
        assert self.of("status")[-1]["status"] == "succeeded", self.of("status")[-1]
        ids = [int(event["id"]) for event in self.events]
        assert ids == sorted(ids)
        values = [data["progress"]["value"] for data in self.of("progress")]
        assert values == sorted(values)
        assert self.of("output"), "the result was told of"


def steps_of(events: list[Json]) -> list[float]:
    """The steps of sampling that these tell of, in their order."""
    told = [event["data"].get("progress") for event in events if event["event"] == "progress"]
    return [progress["step"] for progress in told if progress["step"]]


def at_step(number: int) -> Any:
    def reached(event: Json) -> bool:
        progress = event["data"].get("progress") or {}
        return (progress.get("step") or 0) >= number

    return reached


async def kinds_until_end(replica: Gateway, task_ids: asyncio.Queue[str]) -> set[str]:
    """What kinds of messages a WebSocket to all tasks brings, up to the end of one."""
    kinds: set[str] = set()
    async with connect(f"{replica.base.replace('http', 'ws')}/ws") as socket:
        await socket.send('{"type": "subscribe", "previews": true}')
        while json.loads(await socket.recv())["type"] != "subscribed":
            pass  # updates that came before it
        task_id = await task_ids.get()
        while True:
            frame = await socket.recv()
            message = json.loads(frame) if isinstance(frame, str) else {"event": "preview"}
            kinds.add(message.get("event", "no event"))
            if message.get("task_id") == task_id and message.get("status") in ENDS:
                return kinds


async def test_all_replicas_show_a_task_that_one_drives(cluster: Cluster) -> None:
    started: asyncio.Queue[str] = asyncio.Queue()
    sockets = [asyncio.create_task(kinds_until_end(r, started)) for r in cluster.replicas]
    task_id = await cluster.replicas[0].submit(text_to_image(steps=40, seed=1))
    for _ in sockets:
        started.put_nowait(task_id)
    driver, other = await cluster.driver_of(task_id)
    here, there = Follower(task_id), Follower(task_id)
    async with asyncio.timeout(WAIT):
        await asyncio.gather(here.follow(driver), there.follow(other))
        for kinds in await asyncio.gather(*sockets):
            assert kinds >= {"status", "progress", "preview", "output"}
    for follower in (here, there):
        follower.check()
        assert follower.of("preview")
    steps = {data["progress"]["step"] for data in there.of("progress")}
    assert len(steps) > 10, "progress comes as it happens, not once a second"
    assert here.ids_of("output") == there.ids_of("output"), "ids are the same everywhere"


async def test_a_subscriber_moves_to_another_replica(cluster: Cluster) -> None:
    task_id = await cluster.replicas[0].submit(text_to_image(steps=60, seed=2))
    driver, other = await cluster.driver_of(task_id)
    moving, staying = Follower(task_id), Follower(task_id)
    joined: list[tuple[int, float]] = []  # events moving had, and the step at the driver

    async def note_step() -> None:
        progress = (await driver.http.get(f"/api/task/{task_id}")).json()["progress"]
        joined.append((len(moving.events), progress["step"] or 0))

    stays = asyncio.create_task(staying.follow(driver))
    await moving.follow(driver, until=at_step(5))
    await moving.follow(other, until=at_step(12), opened=note_step)
    await moving.follow(driver, opened=note_step)
    await stays
    moving.check()
    assert moving.ids_of("output") == staying.ids_of("output")
    for number, (start, then) in enumerate(joined):
        end = joined[number + 1][0] if number + 1 < len(joined) else None
        steps = steps_of(moving.events[start:end])
        assert steps[0] <= then + 1, f"nothing is left out of an open stream: {then}, {steps}"
        jumps = [after - before for before, after in pairwise(steps)]
        # Half of them, as a busy machine has some come late, and 20 steps are a second.
        assert median(jumps) <= 10, f"progress comes as it happens, not once a second: {steps}"


async def test_the_driver_is_killed(cluster: Cluster) -> None:
    task_id = await cluster.replicas[0].submit(text_to_image(steps=40, seed=3))
    driver, other = await cluster.driver_of(task_id)
    theirs, ours = Follower(task_id), Follower(task_id)
    following = [
        asyncio.create_task(theirs.to_the_end(driver, other)),
        asyncio.create_task(ours.to_the_end(other)),
    ]
    await wait_until(lambda: theirs.of("progress") and ours.of("progress"))
    await driver.stop(signal.SIGKILL)
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*following)
    for follower in (theirs, ours):
        assert follower.of("status")[-1]["status"] == "succeeded"
    assert (await cluster.demo.executed())[task_id]["starts"] == 1
    await driver.start()
    await driver.online(1)


async def test_redis_is_killed_and_comes_back(cluster: Cluster) -> None:
    """Streams end at once, and go on where they ended when it is back; tasks do not notice."""
    task_id = await cluster.replicas[0].submit(text_to_image(steps=120, seed=10))
    driver, other = await cluster.driver_of(task_id)
    here, there = Follower(task_id), Follower(task_id)
    following = [asyncio.create_task(f.follow(r)) for f, r in ((here, driver), (there, other))]
    body = {"workflow": text_to_image(steps=2, seed=13), "priority": 5}
    waiting = asyncio.create_task(other.http.post("/api/workflow/submit?wait=60", json=body))
    await wait_until(lambda: here.of("progress") and there.of("progress"))
    await cluster.redis.kill()
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*following)
    assert not here.has_ended
    assert not there.has_ended
    for replica in cluster.replicas:
        answer = await replica.http.get(f"/api/task/{task_id}/events")
        assert (answer.status_code, answer.json()["code"]) == (503, "live_updates_unavailable")
        assert (await replica.task(task_id))["status"] == "running"
    health = (await other.http.get("/api/health")).json()
    assert health["status"] == "degraded"
    assert "Redis" in health["reason"]
    await cluster.redis.start()
    for replica in cluster.replicas:
        await wait_until(lambda r=replica: is_well(r))
    async with asyncio.timeout(WAIT):
        await asyncio.gather(here.follow(driver), there.follow(other))
        assert (await waiting).json()["status"] == "succeeded"
    for follower in (here, there):
        follower.check()
        assert len(follower.of("output")) == 1


async def test_tasks_end_while_redis_is_away(cluster: Cluster) -> None:
    """?wait= at the replica that does not drive the task ends with it; who follows it when Redis is
    back is told all."""
    await cluster.redis.kill()
    one, two = cluster.replicas
    for replica in cluster.replicas:
        await wait_until(lambda r=replica: is_degraded(r))
    async with asyncio.timeout(WAIT):
        task_id = await one.submit(text_to_image(steps=40, seed=20))
        _, other = await cluster.driver_of(task_id)
        key = {"idempotency-key": "the same"}
        body = {"workflow": text_to_image(steps=2, seed=22)}
        submits = [
            replica.http.post("/api/workflow/submit?wait=60", json=body, headers=key)
            for replica in (one, two, one, two)
        ]
        answers = await asyncio.gather(*submits)
        assert {answer.json()["status"] for answer in answers} == {"succeeded"}
        assert len({answer.json()["task_id"] for answer in answers}) == 1
        await other.until(task_id, "succeeded")
    await cluster.redis.start()
    for replica in cluster.replicas:
        await wait_until(lambda r=replica: is_well(r))
        follower = Follower(task_id)
        await follower.follow(replica)
        (end,) = follower.of("status")
        assert (end["status"], len(end["outputs"])) == ("succeeded", 1)


@contextlib.asynccontextmanager
async def proxy(replicas: list[Gateway], folder: Path) -> AsyncIterator[str]:
    """Caddy with the file that compose.yaml gives it, in front of these replicas; its URL."""
    program = services.program("caddy")
    port = free_port()
    text = (ROOT / "deploy" / "Caddyfile").read_text(encoding="utf-8")
    text = text.replace("\n:8000 {", f"\nhttp://127.0.0.1:{port} {{")
    for number, replica in enumerate(replicas, 1):
        text = text.replace(f"gateway-{number}:8000", replica.address)
    (folder / "Caddyfile").write_text(text, encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(program, "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")),
        env={**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def test_a_rolling_restart_fails_no_request(cluster: Cluster, tmp_path: Path) -> None:
    """Behind the proxy, while clients submit, ask and follow."""
    stop = asyncio.Event()
    submitted: list[str] = []

    async def use(http: httpx.AsyncClient, number: int) -> int:
        """How many requests were answered, all of them well."""
        count = 0
        while not stop.is_set():
            body = {"workflow": text_to_image(steps=3, seed=1000 * number + count)}
            answer = await http.post("/api/workflow/submit?wait=1", json=body)
            assert answer.status_code in (200, 202), answer.text
            task_id = answer.json()["task_id"]
            submitted.append(task_id)
            answer = await http.get(f"/api/task/{task_id}")
            assert answer.status_code == 200, answer.text
            count += 2
        return count

    async with (
        proxy(cluster.replicas, tmp_path) as base,
        httpx.AsyncClient(base_url=base, timeout=60, trust_env=False) as http,
    ):

        async def is_ready() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await http.get("/api/ready")).status_code == 200
            return False

        await wait_until(is_ready)
        clients = [asyncio.create_task(use(http, number)) for number in range(1, 4)]
        for replica in cluster.replicas:
            await replica.stop()
            await replica.start()
            await replica.online(1)
            await wait_until(lambda replica=replica: takes_submits(replica))
            count = len(submitted)
            await wait_until(lambda before=count: len(submitted) > before + 3)
        stop.set()
        async with asyncio.timeout(WAIT):
            assert sum(await asyncio.gather(*clients)) > 20
    for task_id in submitted:
        assert (await cluster.replicas[0].until(task_id, *ENDS))["status"] == "succeeded"
    executed = await cluster.demo.executed()
    assert {executed[task_id]["starts"] for task_id in submitted} == {1}


async def takes_submits(replica: Gateway) -> bool:
    """Whether the proxy has brought any to this process."""
    figures = (await replica.http.get("/metrics")).text
    return 'http_requests_total{method="POST",route="/api/workflow/submit"' in figures


async def drives(replica: Gateway) -> bool:
    """Whether it holds a task on a server."""
    health = (await replica.http.get("/api/health")).json()
    return any(server["running"] for server in health["servers"])


async def is_degraded(replica: Gateway) -> bool:
    return not await is_well(replica)


async def is_well(replica: Gateway) -> bool:
    return (await replica.http.get("/api/health")).json()["status"] == "ok"


async def test_a_replica_drains(cluster: Cluster) -> None:
    """Told to stop it says so at once, and another replica has its tasks before it is gone."""
    task_id = await cluster.replicas[0].submit(text_to_image(steps=80, seed=4))
    driver, other = await cluster.driver_of(task_id)
    follower = Follower(task_id)
    following = asyncio.create_task(follower.follow(driver))
    await wait_until(lambda: follower.of("progress"))
    stopping = asyncio.create_task(driver.stop())

    async def is_not_ready() -> bool:
        answer = await driver.http.get("/api/ready")
        return answer.status_code == 503 and answer.json()["code"] == "stopping"

    async with asyncio.timeout(DRAIN):
        await wait_until(is_not_ready)
        await following  # the stream ended, so that its client goes elsewhere
        assert (await driver.task(task_id))["status"] == "running", "it still answers"
        await wait_until(lambda: drives(other))
    assert not stopping.done()
    await follower.to_the_end(other)
    follower.check()
    assert await stopping < DRAIN + 4
    await driver.start()
    executed = await cluster.demo.executed()
    assert {run["starts"] for run in executed.values()} == {1}
