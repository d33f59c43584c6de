"""Gateways that share one database: each may answer anything about any task."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.auth.model import EVERYBODY
from app.db.claimed import Claim
from app.db.claims import Claims
from app.db.engine.database import Database, open_database
from app.db.engine.notify import Notifications, Topic, notify
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.tasks import TaskRepository, TaskTable
from app.settings import Settings
from app.tasks.model import Assignment, NewTask, WaitingTask
from app.tasks.outcome import Succeeded
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import (
    WAIT,
    RunningGateway,
    keep_out,
    model_free,
    over,
    text_to_image,
    wait_until,
)
from tests.databases import database_url
from tests.integration.test_files import png
from tests.redis_server import shared_settings
from tests.s3 import s3, s3_endpoint  # noqa: F401 (fixtures)

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]
SLOTS = 2


@pytest.fixture
async def postgresql(tmp_path: Path) -> AsyncIterator[str]:
    async with database_url("postgresql", tmp_path) as url:
        yield url


@asynccontextmanager
async def two(
    settings_for: SettingsFor, url: str, *demos: DemoServer, **settings: Any
) -> AsyncIterator[tuple[RunningGateway, RunningGateway]]:
    async with (
        shared_settings(settings_for, url) as make,
        over(make, *demos, **settings) as one,
        over(make, *demos, **settings) as other,
    ):
        yield one, other


async def drivers(task_id: str, *gateways: RunningGateway) -> list[RunningGateway]:
    """Those of the gateways that drive it; waits until one does."""

    def found() -> list[RunningGateway]:
        return [g for g in gateways if g.gateway.dispatcher.progress_of(task_id) is not None]

    found_ones: list[RunningGateway] = await wait_until(found)
    return found_ones


async def driven_by(one: RunningGateway, other: RunningGateway, workflow: Json) -> str:
    """A task that the first drives: the other has no server that it might give it to."""
    keep_out(other)
    answer = await one.http.post("/api/workflow/submit", json=workflow)
    task_id = str(answer.json()["task_id"])
    assert await drivers(task_id, one, other) == [one]
    return task_id


# -- slots --------------------------------------------------------------------------------------


async def test_many_claimers_keep_to_the_slots(database: Database) -> None:
    """At no moment has a server more than it may hold, whoever gives it what."""
    store, servers = TaskRepository(TaskTable(database), EVERYBODY), ["a", "b", "c"]
    count, claimers = 60, 8
    for _ in range(count):
        await store.add([NewTask(task_id=str(uuid4()), prompt=model_free())])
    on_server: Counter[str] = Counter()
    most: Counter[str] = Counter()
    done: set[str] = set()

    async def work(number: int) -> None:
        lease = Lease(f"claimer {number}", 60)
        queue, claims = Queue(database, lease), Claims(database, lease)
        while len(done) < count:
            found, _ = await queue.assign(lambda held: ((), give(held, servers)))
            for claim in found:
                server = str(claim.task.server)
                on_server[server] += 1
                most[server] = max(most[server], on_server[server])
            await asyncio.gather(*(end(claims, claim) for claim in found))

    async def end(claims: Claims, claim: Claim) -> None:
        await claims.submitted(claim.task, client_id="c", attempts=[])
        # Before it is written: once it is, another may have the slot before we go on.
        on_server[str(claim.task.server)] -= 1
        await claims.settle(claim.task, Succeeded(), [])
        assert claim.task.task_id not in done
        done.add(claim.task.task_id)

    async with asyncio.TaskGroup() as group:
        for number in range(claimers):
            group.create_task(work(number))
    assert dict(most) == dict.fromkeys(servers, SLOTS)
    assert len(done) == count


def give(held: Any, servers: list[str]) -> Callable[[Sequence[WaitingTask]], list[Assignment]]:
    """As many to each server as it has room for."""
    free = [server for server in servers for _ in range(SLOTS - held.get(server, 0))]
    return lambda waiting: [
        Assignment(task.seq, server) for task, server in zip(waiting, free, strict=False)
    ]


async def test_a_server_holds_its_slots_and_no_more(url: str, settings_for: SettingsFor) -> None:
    async with DemoServer(step_seconds=0) as demo:
        demo.knobs.stall = True
        async with two(settings_for, url, demo) as (one, other):
            for number in range(8):
                gateway = (one, other)[number % 2]
                answer = await gateway.http.post("/api/workflow/submit", json=model_free(number))
                assert answer.status_code == 202
            await wait_until(lambda: len(demo.records.prompts) >= SLOTS)
            for gateway in (one, other):  # each has had its chance
                await gateway.gateway.dispatcher._give_out()
            assert len(demo.records.prompts) == SLOTS
            demo.knobs.stall = False
            for task in (await one.http.get("/api/tasks")).json()["tasks"]:
                assert (await other.until(task["task_id"], "succeeded"))["outputs"]
            assert len(demo.records.prompts) == 8


# -- one asks, the other drives -----------------------------------------------------------------


async def test_what_the_other_drives_is_seen_and_waited_for(
    url: str, settings_for: SettingsFor
) -> None:
    async with (
        DemoServer(step_seconds=0.3) as demo,
        two(settings_for, url, demo) as (one, other),
    ):
        task_id = await driven_by(one, other, text_to_image(steps=8))
        waiting = asyncio.create_task(
            other.gateway.tasks.wait([task_id], 20), name="wait on the other"
        )

        async def moves() -> bool:
            task = await other.task(task_id)
            return task["status"] == "running" and 0 < task["progress"]["value"] < 1

        await wait_until(moves)
        (task,) = await waiting
        assert task.status == "succeeded"
        assert (await other.task(task_id))["progress"]["value"] == 1


async def test_streams_tell_of_the_end_elsewhere(url: str, settings_for: SettingsFor) -> None:
    async with DemoServer(step_seconds=0.1) as demo, two(settings_for, url, demo) as (one, other):
        task_id = await driven_by(one, other, text_to_image(steps=8))
        with other.gateway.hub.subscribe([task_id]) as updates:
            async with asyncio.timeout(WAIT):
                while (await updates.get()).data.get("status") != "succeeded":
                    pass


async def test_a_cancel_reaches_who_drives_it(url: str, settings_for: SettingsFor) -> None:
    async with DemoServer(step_seconds=0.5) as demo, two(settings_for, url, demo) as (one, other):
        task_id = await driven_by(one, other, text_to_image(steps=40))
        await one.until(task_id, "running")
        answer = await other.http.post(f"/api/task/{task_id}/cancel")
        assert answer.json()["status"] == "canceling"
        async with asyncio.timeout(WAIT):
            await one.until(task_id, "canceled")
        assert demo.records.executed[task_id].endings == ["interrupted"]


@pytest.mark.service
async def test_who_goes_hands_over_at_once(postgresql: str, settings_for: SettingsFor) -> None:
    async with (
        DemoServer(step_seconds=0.3) as demo,
        shared_settings(settings_for, postgresql) as make,
    ):
        async with over(make, demo, lease_seconds=300) as staying:
            async with over(make, demo) as going:
                task_id = await driven_by(going, staying, text_to_image(steps=12))
                await going.until(task_id, "running")
                keep_out(staying, out=False)
            async with asyncio.timeout(WAIT):
                assert await drivers(task_id, staying) == [staying]
            assert (await staying.until(task_id, "succeeded"))["attempts"][0]["outcome"]
        assert demo.records.executed[task_id].starts == 1


# -- the list of servers ------------------------------------------------------------------------


async def test_the_list_of_servers_is_shared(
    url: str, settings_for: SettingsFor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if url.startswith("sqlite"):  # where nobody tells of it
        monkeypatch.setattr("app.services.servers.CHANGES_INTERVAL", 0.5)
    async with (
        DemoServer(step_seconds=0) as demo,
        DemoServer(step_seconds=0) as added,
        two(settings_for, url, demo) as (one, other),
    ):

        async def state(gateway: RunningGateway) -> str | None:
            listed = (await gateway.http.get("/api/servers")).json()["servers"]
            return next((s["state"] for s in listed if s["id"] == added.address), None)

        async def both(wanted: str | None) -> bool:
            return await state(one) == await state(other) == wanted

        body = {"address": added.address, "slots": 3}
        assert (await one.http.post("/api/servers", json=body)).status_code == 201
        await wait_until(lambda: both("online"))
        assert other.gateway.pool.get(added.address).slots == 3
        await other.http.post(f"/api/servers/{added.address}/drain")
        await wait_until(lambda: both("draining"))
        await one.http.post(f"/api/servers/{added.address}/resume")
        await wait_until(lambda: both("online"))
        answer = await other.http.patch(f"/api/servers/{added.address}", json={"slots": 5})
        assert answer.status_code == 200, answer.text
        await wait_until(lambda: one.gateway.pool.get(added.address).slots == 5)
        answer = await other.http.delete(f"/api/servers/{added.address}")
        assert answer.status_code == 204, answer.text
        await wait_until(lambda: both(None))


@pytest.mark.service
async def test_a_drain_moves_what_the_other_drives(
    postgresql: str, settings_for: SettingsFor
) -> None:
    async with (
        DemoServer(step_seconds=0) as full,
        DemoServer(step_seconds=0) as free,
        shared_settings(settings_for, postgresql) as make,
        over(make, full) as one,
        over(make, full) as other,
    ):
        full.knobs.stall = True
        first = await driven_by(one, other, model_free(1))
        await one.until(first, "running")
        second = await driven_by(one, other, model_free(2))
        await wait_until(lambda: len(full.records.prompts) == 2)
        await other.http.post("/api/servers", json={"address": free.address})
        await other.http.post(f"/api/servers/{full.address}/drain")
        task = await other.until(second, "succeeded")
        assert [a["outcome"] for a in task["attempts"]] == ["moved", "succeeded"]
        assert task["server"] == free.address
        full.knobs.stall = False
        await other.until(first, "succeeded")


@pytest.mark.service
async def test_a_removal_stops_what_the_other_drives(
    postgresql: str, settings_for: SettingsFor
) -> None:
    async with (
        DemoServer(step_seconds=0.5) as gone,
        DemoServer(step_seconds=0) as left,
        shared_settings(settings_for, postgresql) as make,
        over(make, gone) as one,
        over(make, gone) as other,
    ):
        task_id = await driven_by(one, other, text_to_image(steps=60))
        await one.until(task_id, "running")
        await other.http.post("/api/servers", json={"address": left.address})
        address = f"/api/servers/{gone.address}"
        assert (await other.http.delete(address)).json()["code"] == "server_busy"
        answer = await other.http.delete(address, params={"force": True})
        assert answer.status_code == 204, answer.text
        task = await other.until(task_id, "succeeded")
        assert [a["outcome"] for a in task["attempts"]] == ["lost", "succeeded"]
        await wait_until(lambda: gone.address not in one.gateway.pool)


# -- inputs -------------------------------------------------------------------------------------


@pytest.mark.service
async def test_any_of_them_places_what_was_uploaded_to_another(
    postgresql: str, settings_for: SettingsFor, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    bucket = request.getfixturevalue("s3")
    async with (
        DemoServer(step_seconds=0) as demo,
        two(settings_for, postgresql, demo, files_url=bucket) as (one, other),
    ):
        red, blue = png("red"), png("blue")
        names = [
            await upload(gateway.http, content)
            for gateway, content in ((one, red), (other, blue), (other, red), (one, blue))
        ]
        assert names == ["a.png", "a (1).png", "a.png", "a (1).png"]
        both = await asyncio.gather(upload(one.http, png("green")), upload(other.http, png("lime")))
        assert set(both) == {"a (2).png", "a (3).png"}
        for name, content in (("a.png", red), ("a (1).png", blue)):
            for gateway in (one, other):
                answer = await gateway.http.get(f"/api/image/{name}", params={"type": "input"})
                assert answer.content == content
        keep_out(one)
        workflow = load_image("a (1).png")
        answer = await one.http.post("/api/workflow/submit", json=workflow)
        task = await other.until(answer.json()["task_id"], "succeeded", "failed")
        assert task["status"] == "succeeded", task
        assert len(demo.records.uploads) == 1
    assert not (tmp_path / "uploads").exists()


async def upload(http: httpx.AsyncClient, content: bytes) -> str:
    answer = await http.post("/api/image/upload", files={"image": ("a.png", content)})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["name"])


def load_image(name: str) -> Json:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


# -- keys of paid nodes -------------------------------------------------------------------------


async def test_a_task_with_a_key_stays_where_its_key_is(
    url: str, settings_for: SettingsFor
) -> None:
    async with DemoServer(step_seconds=0) as demo, two(settings_for, url, demo) as (one, other):
        for number in range(6):
            task_id = await submit_with_key(one.http, number)
            assert (await other.until(task_id, "succeeded", "failed"))["error"] is None


async def test_a_key_that_went_with_its_process_is_said(
    url: str, settings_for: SettingsFor
) -> None:
    async with (
        DemoServer(step_seconds=0) as demo,
        shared_settings(settings_for, url) as make,
        over(make, demo) as staying,
    ):
        async with over(make, demo) as going:
            keep_out(going)
            task_id = await submit_with_key(going.http, 1)
            await staying.gateway.dispatcher._give_out()
            assert (await staying.task(task_id))["status"] == "queued"
        task = await staying.until(task_id, "failed")
    assert task["error"]["code"] == "api_key_gone"


async def submit_with_key(http: httpx.AsyncClient, number: int) -> str:
    body = {"workflow": model_free(number), "extra_data": {"api_key_comfy_org": "a key"}}
    answer = await http.post("/api/v2/jobs", json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    return str(answer.json()["id"])


# -- the database -------------------------------------------------------------------------------


@pytest.mark.service
async def test_one_at_a_time(postgresql: str) -> None:
    one, other = await open_database(postgresql), await open_database(postgresql)
    async with one.alone("work") as ours, other.alone("work") as theirs, other.alone("else") as it:
        assert (ours, theirs, it) == (True, False, True)
    async with other.alone("work") as ours:
        assert ours
    await one.close()
    await other.close()


@pytest.mark.service
async def test_connections_that_are_cut_are_made_again(postgresql: str) -> None:
    """Transactions go on, and signals are heard, after the server has ended all connections."""
    one, other = await open_database(postgresql), await open_database(postgresql)
    heard: list[str] = []
    notifications = Notifications(other)
    notifications.on(Topic.CANCEL, heard.append)
    listening = asyncio.create_task(notifications.run())
    await wait_until(lambda: heard == [""])
    await one.write(lambda connection: notify(connection, Topic.CANCEL, "first"))
    await wait_until(lambda: heard == ["", "first"])
    server = await services.package("asyncpg").connect(postgresql)
    await server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    await server.close()
    await one.write(lambda connection: notify(connection, Topic.WORK))
    await wait_until(lambda: heard == ["", "first", ""])
    await one.write(lambda connection: notify(connection, Topic.CANCEL, "second"))
    await wait_until(lambda: heard[-1] == "second")
    listening.cancel()
    await asyncio.wait([listening])
    await one.close()
    await other.close()
