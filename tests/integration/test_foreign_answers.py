"""Answers to a prompt that are not ComfyUI's own say nothing of the prompt: others take it."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from app.servers.breaker import FAILURES
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until
from tests.keyholders import guarded

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]

ANSWERS: dict[str, tuple[int, Any]] = {
    "broken node": (500, "500 Internal Server Error\n\nServer got itself in trouble"),
    "bad gateway": (502, "<html>502 Bad Gateway</html>"),
    "unavailable": (503, "<html>503</html>"),
    "timeout": (504, "<html>504</html>"),
    "cloudflare": (524, "<html>a timeout occurred</html>"),
    "login": (401, {"detail": "Unauthorized"}),
    "forbidden": (403, "<html>403</html>"),
    "not there": (404, "<html>404</html>"),
    "not so": (405, "405: Method Not Allowed"),
    "too large": (413, "<html>413</html>"),
    "limit": (429, {"detail": "slow down"}),
    "redirect": (302, "<html>moved</html>"),
    "login page": (200, "<html>please log in</html>"),
    "another service": (200, {"ok": True}),
    "nginx": (400, "<html>The plain HTTP request was sent to HTTPS port</html>"),
}
TRIED_AGAIN = {name for name, (status, _) in ANSWERS.items() if status in (400, 500)}
WAITED_OUT = set(ANSWERS) - TRIED_AGAIN - {"too large"}


def on_databases(*both: str, sqlite_only: tuple[str, ...]) -> pytest.MarkDecorator:
    """Some answers with each kind of database, the others with one: they reach none."""
    postgresql = [pytest.param(name, "postgresql", marks=pytest.mark.service) for name in both]
    sqlite = [(name, "sqlite") for name in (*both, *sqlite_only)]
    return pytest.mark.parametrize(("name", "url"), [*sqlite, *postgresql], indirect=["url"])


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a server that takes nothing: the first pause, and of a task before it goes there again."""
    monkeypatch.setattr("app.servers.server.DOOR_PAUSES", (0.2, 15.0))
    monkeypatch.setattr("app.runner.finalize.FORGOTTEN_RETRY_INTERVAL", 0.05)


@asynccontextmanager
async def bad_and_good(
    settings_for: MakeSettings, name: str, **settings: Any
) -> AsyncIterator[tuple[RunningGateway, DemoServer, DemoServer]]:
    async with (
        DemoServer(step_seconds=0) as bad,
        DemoServer(step_seconds=0) as good,
        over(settings_for, bad, good, **settings) as gateway,
    ):
        bad.knobs.reject_with = ANSWERS[name]
        yield gateway, bad, good


@asynccontextmanager
async def alone(
    settings_for: MakeSettings, name: str, **settings: Any
) -> AsyncIterator[tuple[RunningGateway, DemoServer]]:
    async with DemoServer(step_seconds=0) as demo, over(settings_for, demo, **settings) as gateway:
        demo.knobs.reject_with = ANSWERS[name]
        yield gateway, demo


async def ends(gateway: RunningGateway, batch: Json) -> list[Json]:
    return [await gateway.until(one["task_id"], "succeeded", "failed") for one in batch["tasks"]]


async def shown(gateway: RunningGateway, demo: DemoServer) -> Json:
    servers = (await gateway.http.get("/api/servers")).json()["servers"]
    return next(server for server in servers if server["id"] == demo.address)


def outcomes(task: Json) -> list[str]:
    return [attempt["outcome"] for attempt in task["attempts"]]


async def test_a_batch_succeeds_beside_a_server_that_takes_nothing(
    settings_for: MakeSettings, subtests: pytest.Subtests
) -> None:
    async with bad_and_good(settings_for, "login") as (gateway, bad, good):
        for number, name in enumerate(ANSWERS):
            with subtests.test(name):
                bad.knobs.reject_with = ANSWERS[name]
                gateway.gateway.pool.get(bad.address).recover()  # whatever was before
                await check_beside(gateway, bad, good, name, 20 * number)


async def check_beside(
    gateway: RunningGateway, bad: DemoServer, good: DemoServer, name: str, color: int
) -> None:
    count = 16 if name in TRIED_AGAIN else 8  # five must fail there before it is not tried again
    colors = {"1.color": list(range(color, color + count))}
    done = await ends(gateway, await gateway.submit(model_free(), wait=0, batch=colors))
    assert Counter(task["status"] for task in done) == {"succeeded": count}
    assert {task["server"] for task in done} == {good.address}
    vain = [one for task in done for one in task["attempts"] if one["server"] == bad.address]
    assert vain, "it was tried"
    status = ANSWERS[name][0]
    assert all(f"{bad.address} answered {status}" in one["reason"] for one in vain)
    server = await shown(gateway, bad)
    if name == "too large":
        assert (server["state"], server["reason"]) == ("online", None)
        return
    assert server["state"] == "failing"
    assert f"answered {status}" in server["reason"]
    assert len(server["reason"]) > len(f"ComfyUI at {bad.address} answered {status}") + 30
    bad.knobs.reject_with = None
    await wait_until(lambda: ran_on(gateway, bad))
    assert (await shown(gateway, bad))["state"] == "online"


@on_databases("too large", "login", sqlite_only=("unavailable", "broken node"))
async def test_a_batch_of_one_workflow_succeeds_beside_it(
    settings_for: MakeSettings, url: str, name: str
) -> None:
    async with bad_and_good(settings_for, name, database_url=url) as (gateway, bad, good):
        prefixes = {"3.filename_prefix": [f"x{number}" for number in range(8)]}
        done = await ends(gateway, await gateway.submit(model_free(), wait=0, batch=prefixes))
        assert Counter(task["status"] for task in done) == {"succeeded": 8}
        assert {task["server"] for task in done} == {good.address}
        assert bad.records.prompts == []


async def ran_on(gateway: RunningGateway, demo: DemoServer) -> bool:
    """Another two tasks, once it can get any: is one of them run there?"""
    await wait_until(lambda: gateway.gateway.pool.get(demo.address).accepting)
    batch = await gateway.submit(model_free(), wait=0, batch={"1.color": [50, 51]})
    return any(task["server"] == demo.address for task in await ends(gateway, batch))


async def test_an_only_server_that_is_away_is_waited_for(
    settings_for: MakeSettings, subtests: pytest.Subtests
) -> None:
    async with alone(settings_for, "login") as (gateway, demo):
        for name in sorted(WAITED_OUT):
            with subtests.test(name):
                gateway.gateway.pool.get(demo.address).recover()  # whatever was before
                demo.knobs.reject_with = ANSWERS[name]
                await check_wait(gateway, demo, f"answered {ANSWERS[name][0]}")


async def check_wait(gateway: RunningGateway, demo: DemoServer, answered: str) -> None:
    task = await gateway.submit(model_free(), wait=0)

    async def told() -> str | None:
        said = (await gateway.task(task["task_id"]))["waiting_for"] or ""
        return said if answered in said else None

    assert "failing" in await wait_until(told)
    demo.knobs.reject_with = None
    done = await gateway.until(task["task_id"], "succeeded", "failed")
    assert (done["status"], outcomes(done)[-1]) == ("succeeded", "succeeded")
    assert set(outcomes(done)[:-1]) == {"lost"}
    assert demo.records.execution(task["task_id"]).starts == 1


@pytest.mark.parametrize("name", sorted(TRIED_AGAIN))
async def test_an_only_server_that_takes_nothing_is_an_error_with_a_remedy(
    settings_for: MakeSettings, name: str
) -> None:
    async with alone(settings_for, name) as (gateway, demo):
        task = await gateway.submit(model_free())
        assert (task["status"], outcomes(task)) == ("failed", ["not_taken"] * 3)
        said = task["error"]["message"]
        assert task["error"]["code"] == "comfyui_error"
        assert f"{demo.address} answered {ANSWERS[name][0]}" in said
        assert len(said.split(". ", 1)[1]) > 20, "and what helps"


async def test_it_is_tried_again_before_it_is_an_error(settings_for: MakeSettings) -> None:
    async with alone(settings_for, "broken node") as (gateway, demo):
        task = await gateway.submit(model_free(), wait=0)

        async def was_tried() -> bool:
            return "not_taken" in outcomes(await gateway.task(task["task_id"]))

        await wait_until(was_tried)
        demo.knobs.reject_with = None
        assert (await gateway.until(task["task_id"], "succeeded", "failed"))[
            "status"
        ] == "succeeded"


async def test_a_prompt_that_is_too_large_is_an_error_and_no_fault_of_the_server(
    settings_for: MakeSettings,
) -> None:
    async with bad_and_good(settings_for, "too large") as (gateway, bad, good):
        good.knobs.reject_with = ANSWERS["too large"]
        task = await gateway.submit(model_free())
        assert (task["status"], outcomes(task)) == ("failed", ["refused", "refused"])
        assert "answered 413" in task["error"]["message"]
        assert "too large" in task["error"]["message"]
        for demo in (bad, good):
            assert (await shown(gateway, demo))["accepting"]


async def test_a_retry_after_is_followed(settings_for: MakeSettings) -> None:
    async with alone(settings_for, "limit") as (gateway, demo):
        demo.knobs.retry_after = "300"
        await gateway.submit(model_free(), wait=0)
        server = gateway.gateway.pool.get(demo.address)
        await wait_until(lambda: server.door.is_open)
        assert 290 < server.door.left <= 300
        demo.knobs.reject_with = None
        answer = await gateway.http.post(f"/api/servers/{demo.address}/resume")
        assert answer.json()["accepting"], "a resume does not wait for it"


@on_databases("bad gateway", sqlite_only=("timeout", "broken node", "login page"))
async def test_what_was_queued_all_the_same_runs_once(
    settings_for: MakeSettings, url: str, name: str
) -> None:
    async with (
        DemoServer(step_seconds=0, jobs_api=False) as bad,
        DemoServer(step_seconds=0) as good,
        over(settings_for, bad, good, database_url=url) as gateway,
    ):
        for demo in (bad, good):
            demo.knobs.reject_with, demo.knobs.take_rejected = ANSWERS[name], True
        batch = await gateway.submit(model_free(), wait=0, batch={"1.color": list(range(6))})
        done = await ends(gateway, batch)
        assert Counter(task["status"] for task in done) == {"succeeded": 6}
        for task in done:
            runs = [demo.records.execution(task["task_id"]).starts for demo in (bad, good)]
            assert sum(runs) == 1
        assert (await shown(gateway, bad))["reason"] is None


async def test_what_comes_late_to_a_server_is_taken_off_it(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.scheduler.dispatcher.IDLE", 0.2)
    async with bad_and_good(settings_for, "timeout") as (gateway, bad, good):
        server = gateway.gateway.pool.get(bad.address)
        server.doubted_at = 0.0  # it has been online for long
        bad.knobs.stall = True
        task = await gateway.submit(model_free())
        assert (task["status"], task["server"]) == ("succeeded", good.address)
        bad.knobs.reject_with = None
        late = {"prompt_id": task["task_id"], "client_id": "x"}
        await server.client.queue_prompt(model_free(), **late, extra={})  # what was held back

        async def is_empty() -> bool:
            held = await server.client.queue()
            return not any(item[1] == task["task_id"] for item in held["queue_pending"])

        await wait_until(is_empty)


@pytest.mark.slow
async def test_a_graph_that_breaks_a_server_is_nobody_elses_pause(
    settings_for: MakeSettings, url: str
) -> None:
    async with alone(settings_for, "broken node", database_url=url) as (gateway, demo):
        demo.knobs.reject_only = "KSampler"
        seeds = {"3.seed": list(range(FAILURES + 1))}
        bad = await gateway.submit(text_to_image(steps=1), wait=0, batch=seeds)
        done = [await gateway.submit(model_free(color)) for color in range(3)]
        assert {task["status"] for task in done} == {"succeeded"}
        failed = await ends(gateway, bad)
        assert {task["status"] for task in failed} == {"failed"}
        assert {task["error"]["code"] for task in failed} == {"comfyui_error"}
        assert (await shown(gateway, demo))["state"] == "online"


async def test_one_key_does_not_close_a_server_to_others(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    keys = {"alice": "run", "bob": "run"}
    async with (
        DemoServer(step_seconds=0) as demo,
        guarded(settings_for, tmp_path, demo, keys=keys) as gate,
    ):
        alice, bob = await gate.client("alice"), await gate.client("bob")
        demo.knobs.reject_with, demo.knobs.reject_only = ANSWERS["broken node"], "KSampler"
        for steps in range(FAILURES + 1):
            body = {"workflow": text_to_image(steps=steps + 1)}
            await alice.post("/api/workflow/submit?wait=0", json=body)
        server = gate.gateway.pool.get(demo.address)
        await wait_until(lambda: server.barred)
        assert server.accepting
        body = {"workflow": model_free(3)}
        done = (await bob.post("/api/workflow/submit?wait=60", json=body)).json()
        assert (done["status"], done["server"]) == ("succeeded", demo.address)


@on_databases("login", sqlite_only=("unavailable", "too large", "broken node"))
async def test_inputs_that_a_server_does_not_take_go_to_another(
    settings_for: MakeSettings, url: str, name: str
) -> None:
    async with bad_and_good(settings_for, name, database_url=url) as (gateway, bad, good):
        bad.knobs.reject_path = "/upload"
        content = BytesIO()
        Image.new("RGB", (8, 8)).save(content, "PNG")
        files = {"image": ("mine.png", content.getvalue())}
        assert (await gateway.http.post("/api/image/upload", files=files)).is_success
        graph = model_free()
        graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "mine.png"}}
        prefixes = {"3.filename_prefix": [f"x{number}" for number in range(8)]}
        done = await ends(gateway, await gateway.submit(graph, wait=0, batch=prefixes))
        assert Counter(task["status"] for task in done) == {"succeeded": 8}
        assert {task["server"] for task in done} == {good.address}
        vain = [one for task in done for one in task["attempts"] if one["server"] == bad.address]
        assert vain
        assert all(f"answered {ANSWERS[name][0]} to /upload/image" in one["reason"] for one in vain)


@pytest.mark.parametrize("name", ["bad gateway", "unavailable", "timeout", "limit"])
async def test_a_run_outlives_what_stands_in_front_of_its_server(
    settings_for: MakeSettings, name: str
) -> None:
    async with DemoServer(step_seconds=0) as demo:
        async with over(settings_for, demo) as gateway:
            demo.knobs.stall = True
            task = await gateway.submit(model_free(), wait=0)
            await wait_until(lambda: demo.records.prompts)
            demo.knobs.reject_path, demo.knobs.reject_with = "/", ANSWERS[name]
            server = gateway.gateway.pool.get(demo.address)
            await wait_until(lambda: not server.online)
            assert str(ANSWERS[name][0]) in (await shown(gateway, demo))["reason"]
            demo.knobs.reject_with, demo.knobs.stall = None, False
            done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert (done["status"], outcomes(done)) == ("succeeded", ["succeeded"])
        assert demo.records.execution(task["task_id"]).starts == 1


@pytest.mark.parametrize("name", ["login", "login page", "unavailable"])
async def test_a_server_that_is_well_again_is_asked_again(
    settings_for: MakeSettings, name: str
) -> None:
    """Whoever else could run the task, and is busy for long."""
    async with bad_and_good(settings_for, name) as (gateway, bad, good):
        good.knobs.slow = 600
        slots = [
            await gateway.submit(model_free(color), wait=0, server=good.address)
            for color in (60, 62)
        ]
        await wait_until(lambda: len(good.records.prompts) == 2)
        task = await gateway.submit(model_free(61), wait=0)

        async def was_tried() -> bool:
            return bool((await gateway.task(task["task_id"]))["attempts"])

        await wait_until(was_tried)
        bad.knobs.reject_with = None
        done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert (done["status"], done["server"]) == ("succeeded", bad.address)
        for busy in slots:
            await gateway.http.post(f"/api/task/{busy['task_id']}/cancel")
