"""Several servers: which one gets a task, and what happens to them while the gateway runs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.db import mapping
from app.settings import Settings
from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, run_gateway, text_to_image, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]

CHECKPOINT = "v1-5-pruned-emaonly-fp16.safetensors"
OTHER = "dreamshaper_8.safetensors"


def catalogue(
    path: Path, *, without: tuple[str, ...] = (), checkpoints: tuple[str, ...] = (CHECKPOINT, OTHER)
) -> Path:
    """object_info of a server without some node types, or with these checkpoints only."""
    types = json.loads(BUILT_IN.read_bytes())
    for name in without:
        del types[name]
    loader = types["CheckpointLoaderSimple"]["input"]["required"]
    loader["ckpt_name"][0] = list(checkpoints)
    path.write_text(json.dumps(types), encoding="utf-8")
    return path


@contextlib.asynccontextmanager
async def two_demos(
    tmp_path: Path, one: Json | None = None, other: Json | None = None
) -> AsyncIterator[tuple[DemoServer, DemoServer]]:
    first = catalogue(tmp_path / "one.json", **one) if one else None
    second = catalogue(tmp_path / "other.json", **other) if other else None
    async with (
        DemoServer(step_seconds=0, object_info=first) as a,
        DemoServer(step_seconds=0, object_info=second) as b,
    ):
        yield a, b


def with_checkpoint(name: str, **options: Any) -> Json:
    prompt = text_to_image(**options)
    prompt["4"]["inputs"]["ckpt_name"] = name
    return prompt


# -- choice -------------------------------------------------------------------------------------


async def test_a_task_goes_where_its_node_types_and_models_are(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with (
        two_demos(
            tmp_path,
            {"without": ("ImageInvert",), "checkpoints": (CHECKPOINT,)},
            {"checkpoints": (OTHER,)},
        ) as (a, b),
        over(settings_for, a, b) as gateway,
    ):
        for _ in range(3):
            assert (await gateway.submit(model_free()))["server"] == b.address
            one = await gateway.submit(with_checkpoint(CHECKPOINT, steps=1))
            assert (one["status"], one["server"]) == ("succeeded", a.address)
            other = await gateway.submit(with_checkpoint(OTHER, steps=1))
            assert (other["status"], other["server"]) == ("succeeded", b.address)
        named = await gateway.submit(
            with_checkpoint(CHECKPOINT, steps=1), params={"4.ckpt_name": OTHER}
        )
        assert named["server"] == b.address, "choices of all servers are valid values"


async def test_what_no_server_can_run_is_refused_with_the_nearest(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with (
        two_demos(
            tmp_path,
            {"without": ("KSampler",), "checkpoints": (CHECKPOINT,)},
            {"without": ("KSampler", "VAEDecode"), "checkpoints": (OTHER,)},
        ) as (a, b),
        over(settings_for, a, b) as gateway,
    ):
        answer = await gateway.http.post("/api/workflow/submit", json=text_to_image())
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "not_runnable")
        assert problem["nearest_server"] == a.address
        assert problem["missing"]["node_types"] == ["KSampler"]

        prompt = with_checkpoint(OTHER)
        del prompt["3"]
        prompt["8"]["inputs"]["samples"] = ["5", 0]
        answer = await gateway.http.post("/api/workflow/submit", json=prompt)
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "not_runnable")
        assert problem["nearest_server"] in (a.address, b.address)
        assert problem["node_errors"].keys() <= {"4", "8"}
        assert problem["missing"]["files"] or problem["missing"]["node_types"]
        assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_a_task_may_wait_for_a_server_that_can_run_it(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with (
        DemoServer(
            step_seconds=0, object_info=catalogue(tmp_path / "a.json", without=("ImageInvert",))
        ) as poor,
        over(settings_for, poor) as gateway,
    ):
        task = await gateway.submit(model_free(), wait=0, wait_for_server=True)
        later = await gateway.submit(text_to_image(steps=1))
        assert later["status"] == "succeeded", "it does not stand in the way of others"

        async def reason() -> str | None:
            found: str | None = (await gateway.task(task["task_id"]))["waiting_for"]
            return found

        assert "ImageInvert" in await wait_until(reason)
        async with DemoServer(step_seconds=0) as rich:
            answer = await gateway.http.post("/api/servers", json={"address": rich.address})
            assert answer.status_code == 201
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], done["server"]) == ("succeeded", rich.address)
            assert done["waiting_for"] is None


async def test_tasks_stay_with_the_server_that_has_their_model_warm(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with two_demos(tmp_path) as (a, b), over(settings_for, a, b) as gateway:
        homes: dict[str, set[str]] = {CHECKPOINT: set(), OTHER: set()}
        for seed in range(4):
            for name in homes:
                task = await gateway.submit(with_checkpoint(name, steps=1, seed=seed))
                homes[name].add(task["server"])
        assert all(len(servers) == 1 for servers in homes.values()), homes
        assert homes[CHECKPOINT] != homes[OTHER]


async def test_a_server_busy_for_strangers_is_avoided(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with two_demos(tmp_path) as (a, b), over(settings_for, a, b) as gateway:
        a.knobs.stall = True
        async with httpx.AsyncClient(base_url=f"http://{a.address}") as direct:
            for color in range(3):
                await direct.post("/prompt", json={"prompt": model_free(color), "client_id": "x"})
        await wait_until(lambda: gateway.gateway.pool.get(a.address).queue_length == 3)
        for color in range(4):
            assert (await gateway.submit(model_free(color)))["server"] == b.address
        listed = (await gateway.http.get("/api/servers")).json()["servers"]
        assert [server["others"] for server in listed] == [3, 0]


async def test_old_tasks_of_low_priority_rise(
    settings_for: MakeSettings, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mapping, "PRIORITY_AGEING_SECONDS", 1e-8)
    async with over(settings_for, demo, slots=1) as gateway:
        demo.knobs.stall = True
        await gateway.submit(model_free(0), wait=0)
        old = await gateway.submit(model_free(1), wait=0, priority=-5)
        new = await gateway.submit(model_free(2), wait=0, priority=5)
        assert [(await gateway.task(task["task_id"]))["queue_position"] for task in (old, new)] == [
            1,
            2,
        ], "any wait is worth more than the ten points"


# -- while it runs ------------------------------------------------------------------------------


async def test_servers_are_added_drained_resumed_and_removed(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with two_demos(tmp_path) as (a, b):
        async with over(settings_for, a) as gateway:
            answer = await gateway.http.post(
                "/api/servers", json={"address": b.address, "slots": 4}
            )
            assert (answer.status_code, answer.json()["state"]) == (201, "online")
            assert answer.json()["slots"] == 4
            again = await gateway.http.post("/api/servers", json={"address": b.address})
            assert (again.status_code, again.json()["code"]) == (409, "server_exists")
            gateway.gateway.servers._own = [("127.0.0.1", 1234)]
            own = await gateway.http.post("/api/servers", json={"address": "localhost:1234"})
            assert (own.status_code, own.json()["field"]) == (422, "address")
            drained = await gateway.http.post(f"/api/servers/{a.address}/drain")
            assert (drained.json()["state"], drained.json()["accepting"]) == ("draining", False)
            changed = await gateway.http.patch(f"/api/servers/{b.address}", json={"slots": 3})
            assert changed.json()["slots"] == 3
            for color in range(3):
                assert (await gateway.submit(model_free(color)))["server"] == b.address

        async with run_gateway(settings_for(a.address)) as gateway:
            await wait_until(lambda: len(gateway.gateway.pool.online()) == 2)
            listed = (await gateway.http.get("/api/servers")).json()["servers"]
            assert {s["id"]: (s["state"], s["slots"]) for s in listed} == {
                a.address: ("draining", 2),
                b.address: ("online", 3),
            }, "remembered"
            resumed = await gateway.http.post(f"/api/servers/{a.address}/resume")
            assert resumed.json()["accepting"] is True
            assert (await gateway.http.delete(f"/api/servers/{b.address}")).status_code == 204
            assert (await gateway.submit(model_free(9)))["server"] == a.address
            gone = await gateway.http.get(f"/api/servers/{b.address}")
            assert (gone.status_code, gone.json()["code"]) == (404, "server_not_found")

        async with run_gateway(settings_for(a.address)) as gateway:
            assert [server.id for server in gateway.gateway.pool] == [a.address]
            await gateway.http.post("/api/servers", json={"address": b.address})
            assert len(list(gateway.gateway.pool)) == 2


async def test_one_server_in_detail(settings_for: MakeSettings, demo: DemoServer) -> None:
    async with over(settings_for, demo) as gateway:
        await gateway.submit(text_to_image(steps=1))
        detail = (await gateway.http.get(f"/api/servers/{demo.address}")).json()
        assert detail["warm"] == [CHECKPOINT]
        assert CHECKPOINT in detail["models"]["checkpoints"]
        assert detail["node_types"] > 50
        assert (detail["tasks"], detail["running"]) == ([], 0)
        assert detail["system_stats"]["devices"]


async def test_draining_moves_what_waits_and_lets_end_what_runs(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with two_demos(tmp_path) as (a, b), over(settings_for, a, b) as gateway:
        a.knobs.step_seconds = 0.2
        on_a = [await gateway.submit(text_to_image(seed=n), wait=0, server=a.address) for n in (1,)]
        await gateway.until(on_a[0]["task_id"], "running")
        waiting = await gateway.submit(model_free(3), wait=0)
        await gateway.http.post(f"/api/servers/{b.address}/drain")
        moved = await gateway.submit(model_free(4), wait=0)
        await wait_until(lambda: len(a.records.prompts) + len(b.records.prompts) == 3)
        await gateway.http.post(f"/api/servers/{b.address}/resume")
        await gateway.http.post(f"/api/servers/{a.address}/drain")
        for task in (on_a[0], waiting, moved):
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert done["status"] == "succeeded"
        done = await gateway.task(moved["task_id"])
        assert [(x["server"], x["outcome"]) for x in done["attempts"]] == [
            (a.address, "moved"),
            (b.address, "succeeded"),
        ]
        assert "drained" in done["attempts"][0]["reason"]
        assert a.records.executed[on_a[0]["task_id"]].endings == ["success"]
        assert moved["task_id"] not in a.records.executed


@pytest.mark.parametrize("force", [False, True])
async def test_removing_a_server_at_work(
    settings_for: MakeSettings, tmp_path: Path, force: bool
) -> None:
    async with two_demos(tmp_path) as (a, b), over(settings_for, a) as gateway:
        a.knobs.step_seconds = 0.3
        tasks = [await gateway.submit(text_to_image(seed=n), wait=0) for n in range(3)]
        await gateway.until(tasks[0]["task_id"], "running")
        await gateway.http.post("/api/servers", json={"address": b.address})
        path = f"/api/servers/{a.address}"
        answer = await gateway.http.delete(path, params={"force": force})
        if not force:
            assert (answer.status_code, answer.json()["code"]) == (409, "server_busy")
            return
        assert answer.status_code == 204, answer.text
        for task in tasks:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], done["server"]) == ("succeeded", b.address)
        await wait_until(lambda: a.records.executed[tasks[0]["task_id"]].ended == "interrupted")


@pytest.mark.slow
async def test_removing_a_server_that_is_gone(settings_for: MakeSettings, tmp_path: Path) -> None:
    async with two_demos(tmp_path) as (a, b), over(settings_for, a) as gateway:
        a.knobs.stall = True
        tasks = [await gateway.submit(model_free(n), wait=0) for n in range(3)]
        await wait_until(lambda: len(a.records.prompts) == 2)
        a.knobs.hang = True
        await wait_until(lambda: not gateway.gateway.pool.online())
        await gateway.http.post("/api/servers", json={"address": b.address})
        assert (await gateway.http.delete(f"/api/servers/{a.address}")).status_code == 204
        for task in tasks:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], done["server"]) == ("succeeded", b.address)


async def test_a_server_removed_while_it_is_given_a_task(
    settings_for: MakeSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The task is claimed for a server that is no more: it must not stay claimed."""
    async with two_demos(tmp_path) as (a, b), over(settings_for, a, lease_seconds=1) as gateway:
        pool, queue = gateway.gateway.pool, gateway.gateway.dispatcher._queue
        assign = queue.assign

        async def assign_and_remove(*args: Any, **options: Any) -> Any:
            given = await assign(*args, **options)
            if given[0] and a.address in pool:
                await pool.remove(pool.get(a.address))
                pool.add(b.address)
            return given

        monkeypatch.setattr(queue, "assign", assign_and_remove)
        task = await gateway.submit(model_free())
        assert (task["status"], task["server"]) == ("succeeded", b.address)
        assert a.records.prompts == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "x:port:1",
        "host:99999",
        "host:0",
        "ftp://host",
        "http://u:p@host",
        "http://",
        "a b",
        ":1",
    ],
)
async def test_a_bad_address_is_refused(gateway: RunningGateway, address: str) -> None:
    answer = await gateway.http.post("/api/servers", json={"address": address})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "invalid_input")
    assert "HOST:PORT" in problem["hint"]
    assert len(list(gateway.gateway.pool)) == 1


def ui_with_checkpoint(name: str) -> Json:
    """CheckpointLoaderSimple and EmptyLatentImage -> VAEDecode -> SaveImage, in UI format."""

    def node(id: int, kind: str, inputs: list[Json], outputs: list[Json], *values: Any) -> Json:
        return {"id": id, "type": kind, "pos": [0, 0], "mode": 0, "inputs": inputs,
                "outputs": outputs, "widgets_values": list(values)}  # fmt: skip

    def end(name: str, kind: str, link: int) -> Json:
        return {"name": name, "type": kind, "link": link}

    def start(kind: str, *links: int) -> Json:
        return {"name": kind, "type": kind, "links": list(links)}

    models = [start("MODEL"), start("CLIP"), start("VAE", 1)]
    return {
        "version": 0.4,
        "nodes": [
            node(1, "CheckpointLoaderSimple", [], models, name),
            node(2, "EmptyLatentImage", [], [start("LATENT", 2)], 64, 64, 1),
            node(3, "VAEDecode", [end("samples", "LATENT", 2), end("vae", "VAE", 1)],
                 [start("IMAGE", 3)]),
            node(4, "SaveImage", [end("images", "IMAGE", 3)], [], "x"),
        ],
        "links": [[1, 1, 2, 3, 1, "VAE"], [2, 2, 0, 3, 0, "LATENT"], [3, 3, 0, 4, 0, "IMAGE"]],
    }  # fmt: skip


async def test_a_ui_file_may_wait_for_models_but_not_for_node_types(
    gateway: RunningGateway,
) -> None:
    ready = await gateway.submit(ui_with_checkpoint(CHECKPOINT))
    assert ready["status"] == "succeeded"
    body = {"workflow": ui_with_checkpoint("mine.safetensors")}
    refused = await gateway.http.post("/api/workflow/submit", json=body)
    assert (refused.status_code, refused.json()["code"]) == (422, "not_runnable")
    waiting = await gateway.submit(body["workflow"], wait=0, wait_for_server=True)

    async def reason() -> str | None:
        found: str | None = (await gateway.task(waiting["task_id"]))["waiting_for"]
        return found

    assert "mine.safetensors" in await wait_until(reason)
    body["workflow"]["nodes"][2]["type"] = "FancyDecode"
    unknown = await gateway.http.post(
        "/api/workflow/submit", json={**body, "wait_for_server": True}
    )
    assert (unknown.status_code, unknown.json()["code"]) == (422, "not_runnable")


async def test_a_server_that_comes_online_while_the_gateway_stops(
    settings_for: MakeSettings, demo: DemoServer
) -> None:
    """It begins nothing there: that would end the work with an error, and the process with it."""
    async with over(settings_for, demo) as gateway:
        (server,) = gateway.gateway.pool
        await wait_until(lambda: server.swept)
        gateway.gateway.stop()
        for _ in range(3):  # its work is through with that after some turns of the loop
            server.swept = server.sweeping = False
            server.on_change()
            assert not server.sweeping
            await asyncio.sleep(0)
