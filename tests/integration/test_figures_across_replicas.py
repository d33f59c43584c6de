"""Two gateways on one PostgreSQL and one Redis show the same figures, whoever drives a task."""

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from app.db.mapping import Row
from app.db.replica_tasks import ReplicaTaskRepository
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, over, text_to_image, wait_until
from tests.databases import postgresql
from tests.redis_server import shared_settings

pytestmark = pytest.mark.service

Json = dict[str, Any]
Pair = tuple[RunningGateway, RunningGateway]

STEP = 0.2  # seconds of a step of sampling
STEPS = 30
SLOTS = 2
SEEDS = itertools.count()  # a graph with another's seed would be answered from the cache
NEAR = 1.5  # seconds by which the ETAs of two replicas may differ


@pytest.fixture
async def slow() -> AsyncIterator[DemoServer]:
    async with DemoServer(step_seconds=STEP) as demo:
        yield demo


@pytest.fixture
async def pair(slow: DemoServer, settings_for: Callable[..., Settings]) -> AsyncIterator[Pair]:
    """Either may drive a task, mostly the one that took it."""
    async with (
        postgresql() as url,
        shared_settings(settings_for, url) as make,
        over(make, slow, slots=SLOTS) as one,
        over(make, slow, slots=SLOTS) as other,
    ):
        yield one, other


async def submitted(pair: Pair, count: int, steps: int = STEPS) -> list[str]:
    """The ids of so many tasks, when the server holds what it has room for and both know it."""
    ids = []
    for _ in range(count):
        body = text_to_image(steps=steps, seed=next(SEEDS))
        answer = await pair[0].http.post("/api/workflow/submit", json=body)
        ids.append(str(answer.json()["task_id"]))
    await pair[0].until(ids[0], "running")
    held = min(count, SLOTS)
    await wait_until(lambda: sum(len(one.gateway.dispatcher.driven()) for one in pair) == held)
    servers = [server for one in pair for server in one.gateway.pool]
    await wait_until(lambda: [server.queue_length for server in servers] == [held, held])
    for one in pair:
        await one.gateway.dispatcher.peers.refresh()
    return ids


def not_driving(pair: Pair, task_id: str) -> RunningGateway:
    one, other = pair
    return other if task_id in one.gateway.dispatcher.driven() else one


async def listed(gateway: RunningGateway) -> Json:
    (server,) = (await gateway.http.get("/api/servers")).json()["servers"]
    return dict(server)


async def detail(gateway: RunningGateway, address: str) -> Json:
    return dict((await gateway.http.get(f"/api/servers/{address}")).json())


def figures(server: Json) -> tuple[Any, ...]:
    return server["running"], server["others"]


async def test_a_server_has_the_same_figures_at_both(pair: Pair, slow: DemoServer) -> None:
    ids = await submitted(pair, 2)
    for gateway in pair:
        server = await detail(gateway, slow.address)
        assert figures(server) == (2, 0)
        assert sorted(server["tasks"]) == sorted(ids)
        assert figures(await listed(gateway)) == (2, 0)
        (shown,) = (await gateway.http.get("/api/system/info")).json()["servers"]
        assert figures(shown) == (2, 0)
        (shown,) = (await gateway.http.get("/api/health")).json()["servers"]
        assert figures(shown) == (2, 0)
        assert shown["wait_seconds"] > 0


async def test_health_follows_what_another_replica_does(
    pair: Pair, slow: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns of a task's start from the database, of its end without."""
    (task_id,) = await submitted(pair, 1, steps=10)

    other = not_driving(pair, task_id)

    async def held() -> int:
        (server,) = (await other.http.get("/api/health")).json()["servers"]
        return int(server["running"])

    assert await held() == 1
    stays_as_read(monkeypatch)
    await other.gateway.dispatcher.peers.refresh()
    await other.until(task_id, "succeeded")

    async def is_free() -> bool:
        return await held() == 0

    await wait_until(is_free)


def stays_as_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read of the tasks of other replicas is from now on what was read first."""
    kept: dict[ReplicaTaskRepository, Sequence[Row]] = {}
    read = ReplicaTaskRepository.rows

    async def rows(self: ReplicaTaskRepository) -> Sequence[Row]:
        if self not in kept:
            kept[self] = await read(self)
        return kept[self]

    monkeypatch.setattr(ReplicaTaskRepository, "rows", rows)


async def test_a_drain_tells_what_another_replica_runs(pair: Pair, slow: DemoServer) -> None:
    (task_id,) = await submitted(pair, 1, steps=15)
    other, address = not_driving(pair, task_id), f"/api/servers/{slow.address}"
    answers = [
        await other.http.patch(address, json={"slots": 2}),
        await other.http.post(f"{address}/drain"),
        await other.http.post(f"{address}/resume"),
        await other.http.post(f"{address}/drain"),
    ]
    assert [answer.json()["running"] for answer in answers] == [1, 1, 1, 1]

    async def is_free() -> bool:
        return (await detail(other, slow.address))["running"] == 0

    await wait_until(is_free)  # the server may be restarted
    for gateway in pair:
        assert (await gateway.task(task_id))["status"] == "succeeded"


async def etas(pair: Pair, task_id: str) -> list[float]:
    """What both say at the same time, once both of them know of a task that was just handed over:
    until then one of them takes its prompt for a stranger's."""

    async def told() -> list[float] | None:
        tasks = await asyncio.gather(*(gateway.task(task_id) for gateway in pair))
        found = [task["eta_seconds"] for task in tasks]
        return None if None in found else found

    found: list[float] = await wait_until(told)
    return found


async def learn_run_time(pair: Pair) -> None:
    (done,) = await submitted(pair, 1)
    await pair[0].until(done, "succeeded")
    task = await pair[0].gateway.tasks.get(done)
    known = [gateway.gateway.task_parts.submissions.run_times for gateway in pair]
    await wait_until(lambda: all(run_times.proven(task.shape) for run_times in known), 10)


async def check_etas(pair: Pair, ids: list[str], seconds: float = 2.5) -> None:
    """They agree in that time, and run down."""
    began, seen = time.monotonic(), []
    while time.monotonic() - began < seconds:
        for number, task_id in enumerate(ids):
            here, there = await etas(pair, task_id)
            assert abs(here - there) < NEAR, (number, here, there)
        seen.append((here, there))
        await asyncio.sleep(0.1)
    for first, last in zip(seen[0], seen[-1], strict=True):
        assert first - last > 1


async def test_etas_are_the_same_at_both(pair: Pair) -> None:
    """Of a running task, of one that waits on its server, and of those behind them."""
    await learn_run_time(pair)
    ids = await submitted(pair, 4)
    await check_etas(pair, ids)
    lists = [(await gateway.http.get("/api/tasks")).json()["tasks"] for gateway in pair]
    here, there = ({task["task_id"]: task["eta_seconds"] for task in tasks} for tasks in lists)
    for task_id in ids:
        assert abs(here[task_id] - there[task_id]) < NEAR
    await check_streams(pair, ids[-1])


async def test_the_first_of_its_kind_has_the_same_eta_at_both(pair: Pair) -> None:
    (task_id,) = await submitted(pair, 1)

    async def has_a_rate() -> bool:
        return bool((await pair[0].task(task_id))["progress"]["value"] > 0.3)

    await wait_until(has_a_rate)
    await check_etas(pair, [task_id])


async def check_streams(pair: Pair, last: str) -> None:
    """They tell the same of a task that waits behind others."""
    for gateway in pair:
        with gateway.gateway.hub.subscribe([last]) as updates:
            async with asyncio.timeout(WAIT):
                for _ in range(2):
                    told = (await updates.get()).data["eta_seconds"]
                    assert all(abs(told - eta) < NEAR for eta in await etas(pair, last))
