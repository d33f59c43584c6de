"""What polls and streams tell of tasks whose server says nothing, or is gone."""

import asyncio
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from app.db.run_times import RunTime
from app.scheduler import dispatcher, stream_reconciler
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, over, wait_until
from tests.databases import KINDS, database_url

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
LONG = 100.0  # seconds that a run should take


async def learnt(gateway: RunningGateway) -> None:
    """A run of this graph has been seen to take long."""
    await gateway.submit(model_free())
    estimates = gateway.gateway.dispatcher._context.run_times
    (shape,) = estimates._known._kept
    server = next(iter(gateway.gateway.pool))
    estimates._keep(shape, server.id, RunTime(LONG, {}))
    estimates.average = LONG


async def waiting(gateway: RunningGateway, prefix: str) -> str:
    """The id of a new task of that kind."""
    task_id: str = (await gateway.submit(model_free(prefix=prefix), wait=0))["task_id"]
    return task_id


async def follow(socket: ClientConnection, *task_ids: str) -> None:
    await socket.send(json.dumps({"type": "subscribe", "task_ids": task_ids}))


async def told(socket: ClientConnection, of: Mapping[str, Callable[[Json], bool]]) -> list[Json]:
    """Of each of these tasks the next message for which this holds, in whatever order they come."""
    found: Json = {}
    async with asyncio.timeout(WAIT):
        while len(found) < len(of):
            message = json.loads(await socket.recv())
            task_id = message.get("task_id")
            if task_id in of and task_id not in found and of[task_id](message):
                found[task_id] = message
    return [found[task_id] for task_id in of]


@pytest.mark.parametrize("by_id", [True, False])
async def test_a_task_that_is_handed_to_its_server_keeps_its_place(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, by_id: bool
) -> None:
    """Until it runs: who drives a task does not know what is before it."""
    monkeypatch.setattr(stream_reconciler, "LOOK_INTERVAL", 0.1)
    async with over(settings_for, demo, slots=1) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        first, second, third = [await waiting(gateway, prefix) for prefix in "abc"]
        await gateway.until(first, "running")
        async with connect(f"ws://{gateway.address}/ws") as socket:
            names = {"task_ids": [second, third]} if by_id else {"all": True}
            await socket.send(json.dumps({"type": "subscribe", **names}))
            for place, id in enumerate((second, third), 1):
                await told(socket, {id: lambda m, place=place: m["queue_position"] == place})  # type: ignore[misc]
            gateway.gateway.pool.get(demo.address).own_slots = 2
            gateway.gateway.dispatcher.wake()
            await wait_until(lambda: second in gateway.gateway.dispatcher.driven())
            (before,) = await told(socket, {second: lambda m: m["eta_seconds"] is not None})

            def is_later(message: Json) -> bool:
                assert message["queue_position"] == 1
                return bool(message["eta_seconds"] < before["eta_seconds"] - 1)

            await told(socket, {second: is_later})
            assert (await gateway.task(second))["queue_position"] == 1


async def test_a_silent_node_and_what_waits_behind_it(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reconciler, "LOOK_INTERVAL", 0.1)
    async with over(settings_for, demo, slots=2) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        ids = [await waiting(gateway, prefix) for prefix in "abc"]
        await gateway.until(ids[0], "running")
        await wait_until(lambda: gateway.gateway.pool.get(demo.address).queue_length == 2)
        places = []
        for number, id in enumerate(ids, 1):
            before = await gateway.task(id)
            places.append(before["server"])
            assert number * LONG - 20 < before["eta_seconds"] <= number * LONG

            async def later(id: str = id, eta: float = before["eta_seconds"]) -> bool:
                return bool((await gateway.task(id))["eta_seconds"] <= eta - 0.3)

            await wait_until(later)
        assert places == [demo.address, demo.address, None]
        async with connect(f"ws://{gateway.address}/ws") as socket:
            await follow(socket, *ids)
            for id in ids:
                (first,) = await told(socket, {id: lambda m: m["eta_seconds"] is not None})
                eta = first["eta_seconds"]
                await told(socket, {id: lambda m, eta=eta: m["eta_seconds"] < eta})  # type: ignore[misc]
        demo.knobs.stall = False


async def test_a_server_that_goes_away(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reconciler, "LOOK_INTERVAL", 0.1)
    async with DemoServer(step_seconds=0) as demo, over(settings_for, demo, slots=2) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        ids = [await waiting(gateway, prefix) for prefix in "abc"]
        await gateway.until(ids[0], "running")
        await wait_until(lambda: gateway.gateway.pool.get(demo.address).queue_length == 2)
        async with connect(f"ws://{gateway.address}/ws") as socket:
            await follow(socket, *ids)
            demo._fall_silent()
            running, queued = await told(
                socket,
                {
                    ids[0]: lambda m: bool(m.get("warnings")),
                    ids[1]: lambda m: bool(m.get("waiting_for")),
                },
            )
            assert running["eta_seconds"] is None
            assert f"{demo.address} is offline" in running["warnings"][-1]
            assert queued["waiting_for"].startswith(f"its server {demo.address} is offline")
        for id in ids:
            task = await gateway.task(id)
            assert task["eta_seconds"] is None
            assert "is offline" in (task["waiting_for"] or task["warnings"][-1])
        listed = (await gateway.http.get("/api/queue")).json()
        assert {task["eta_seconds"] for task in listed["queued"]} == {None}


async def test_what_waited_for_a_server_goes_on_when_it_is_back(
    settings_for: MakeSettings, demo: DemoServer
) -> None:
    async with over(settings_for, demo, slots=2) as gateway:
        server = gateway.gateway.pool.get(demo.address)
        demo.knobs.stall = True
        task = await gateway.submit(model_free(), wait=0)
        await gateway.until(task["task_id"], "running")
        health = server.health
        server.health = type(health)(False, "It is away.")
        assert len((await gateway.task(task["task_id"]))["warnings"]) == 1
        server.health = health
        assert (await gateway.task(task["task_id"]))["warnings"] == []
        demo.knobs.stall = False
        done = await gateway.until(task["task_id"], "succeeded")
        assert (done["warnings"], done["waiting_for"]) == ([], None)


async def directly(demo: DemoServer, prefix: str) -> None:
    """A prompt that somebody else sends to the server."""
    body = {"prompt": model_free(prefix=prefix)}
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"http://{demo.address}/prompt", json=body)
        assert answer.status_code == 200


async def test_behind_the_prompts_of_others_no_time_is_told(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would stand still: nobody knows how long those take."""
    monkeypatch.setattr(stream_reconciler, "LOOK_INTERVAL", 0.1)
    async with over(settings_for, demo, slots=1) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        await directly(demo, "x")
        server = gateway.gateway.pool.get(demo.address)
        await wait_until(lambda: server.queue_length == 1)
        there, here = [await waiting(gateway, prefix) for prefix in "ab"]
        await wait_until(lambda: server.queue_length == 2)
        async with connect(f"ws://{gateway.address}/ws") as socket:
            await follow(socket, there, here)
            says = lambda m: "has a prompt of others" in (m.get("waiting_for") or "")  # noqa: E731
            messages = await told(socket, {there: says, here: says})
            assert [message["eta_seconds"] for message in messages] == [None, None]
        for id in (there, here):
            task = await gateway.task(id)
            assert task["eta_seconds"] is None
            assert task["waiting_for"].startswith(f"{demo.address} has a prompt of others")
        demo.knobs.stall = False
        assert (await gateway.until(here, "succeeded"))["waiting_for"] is None


async def test_behind_a_task_of_unknown_length_no_time_is_told(
    settings_for: MakeSettings, demo: DemoServer
) -> None:
    async with over(settings_for, demo, slots=1) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        other = {
            **model_free(prefix="z"),
            "9": {"class_type": "PreviewAny", "inputs": {"source": "x"}},
        }
        first = (await gateway.submit(other, wait=0))["task_id"]
        await gateway.until(first, "running")
        second = await waiting(gateway, "a")

        async def is_told() -> bool:
            task = await gateway.task(second)
            return task["eta_seconds"] is None and "first of its kind" in str(task["waiting_for"])

        await wait_until(is_told)
        demo.knobs.stall = False
        await gateway.until(second, "succeeded")


@pytest.mark.parametrize("kind", KINDS)
async def test_what_cannot_start_holds_nobody_up(
    settings_for: MakeSettings,
    demo: DemoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.setattr(dispatcher, "IDLE", 0.2)
    async with (
        DemoServer(step_seconds=0) as other,
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, other, slots=1, database_url=url) as gateway,
    ):
        away = gateway.gateway.pool.get(other.address)
        away.draining = True
        await learnt(gateway)
        demo.knobs.stall = True
        running = await waiting(gateway, "a")
        await gateway.until(running, "running")
        submits: list[Json] = [{"server": other.address}, {"server": other.address}]
        unknown = {**model_free(), "9": {"class_type": "Nobody", "inputs": {}}}
        submits += [{"workflow": unknown, "wait_for_server": True}]
        for more in submits:
            body = {"workflow": model_free(prefix="z"), **more}
            answer = await gateway.http.post("/api/workflow/submit", json=body)
            assert answer.status_code == 202, answer.text
        behind, last = [await waiting(gateway, prefix) for prefix in "bc"]

        async def without_the_stuck() -> bool:
            listed = (await gateway.http.get("/api/queue")).json()["queued"]
            etas = {task["task_id"]: task["eta_seconds"] for task in listed}
            alone = (await gateway.task(last))["eta_seconds"]
            found = etas[behind], etas[last], alone
            return LONG < found[0] <= 2 * LONG and all(2 * LONG < x <= 3 * LONG for x in found[1:])

        await wait_until(without_the_stuck)
        assert (await gateway.task(behind))["queue_position"] == 4
        demo.knobs.stall = False
        await gateway.until(last, "succeeded")
