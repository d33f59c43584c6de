"""Results that cannot be fetched: one file is no lost server, and a cancel is heard meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from app.errors import ComfyUnreachable
from app.runner import download_outputs, outputs
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until

Json = dict[str, Any]


def with_victim(prefix: str) -> Json:
    """The graph, and a second picture of it under this name."""
    saving = {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": prefix}}
    return {**model_free(prefix="fine"), "9": saving}


async def ends_on_a_server_that_is_there(
    gateway: RunningGateway, demo: DemoServer, prefix: str
) -> Json:
    """A task with a file that cannot be fetched, run beside others, comes to a defined end."""
    tasks = [await gateway.submit(with_victim(prefix), wait=0) for _ in range(2)]
    victim = await gateway.submit(model_free(7, prefix="victim"))
    assert victim["status"] == "succeeded"
    done = [await gateway.until(task["task_id"], "failed", "succeeded") for task in tasks]
    assert [task["error"]["code"] for task in done] == ["output_unavailable"] * 2
    outcomes = {attempt["outcome"] for task in done for attempt in task["attempts"]}
    assert outcomes == {"output_unavailable"}, "the server was taken for lost"
    server = gateway.gateway.pool.get(demo.address)
    assert server.accepting
    assert not server.breaker.reason
    return done[0]


@pytest.mark.parametrize("prefix", ["two\nlines", "es\x1bcape", "del\x7fete"])
async def test_a_name_that_no_header_can_hold(
    gateway: RunningGateway, demo: DemoServer, prefix: str
) -> None:
    task = await ends_on_a_server_that_is_there(gateway, demo, prefix)
    kept, lost = sorted(task["outputs"], key=lambda output: output["node_id"])
    assert (kept["error"], kept["filename"][:4]) == (None, "fine")
    assert lost["filename"] == f"{prefix}_00001_.png"
    assert lost["filename"] in task["error"]["message"]
    assert "filename_prefix" in lost["error"]["message"]
    assert (await gateway.http.get(kept["url"])).status_code == 200


@pytest.mark.parametrize(
    ("knob", "said"),
    [("view_closes", "breaks off"), ("view_fails", "500"), ("view_hangs", "in time")],
)
async def test_one_file_that_a_server_does_not_hand_out(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, knob: str, said: str
) -> None:
    monkeypatch.setattr("app.comfyui.client.VIEW", 0.5)
    setattr(demo.knobs, knob, "broken")
    task = await ends_on_a_server_that_is_there(gateway, demo, "broken")
    (lost,) = [output for output in task["outputs"] if output["error"]]
    assert lost["filename"] == "broken_00001_.png"
    assert said in lost["error"]["message"]
    setattr(demo.knobs, knob, None)


async def test_a_connection_that_is_closed_once_costs_nothing(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.view_closes = "test"
    task = await gateway.submit(model_free(), wait=0)
    await gateway.until(task["task_id"], "running")
    asked = gateway.gateway.pool.get(demo.address).client
    stats, asking = asked.system_stats, asyncio.Event()

    async def asked_for() -> Json:
        asking.set()
        demo.knobs.view_closes = None
        return await stats()

    asked.system_stats = asked_for  # type: ignore[method-assign]
    done = await gateway.until(task["task_id"], "failed", "succeeded")
    assert asking.is_set()
    assert done["status"] == "succeeded"


async def test_a_server_that_is_away_while_results_are_fetched_is_waited_for(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.comfyui.client.VIEW", 1.0)
    monkeypatch.setattr(download_outputs, "HEALTH", 0.3)
    demo.knobs.view_hangs = "test"
    task = await gateway.submit(model_free(), wait=0)
    client, asked = gateway.gateway.pool.get(demo.address).client, []
    stats = client.system_stats

    async def counting() -> Json:
        asked.append(1)
        return await stats()

    client.system_stats = counting  # type: ignore[method-assign]
    runs = gateway.gateway.dispatcher._runs
    await wait_until(lambda: task["task_id"] in runs and runs[task["task_id"]].history)
    demo.knobs.hang = True  # not before: else the history is waited for, and no result
    await wait_until(lambda: len(asked) > len(download_outputs.PAUSES))
    assert not (await gateway.task(task["task_id"]))["finished_at"]
    demo.knobs.view_hangs, demo.knobs.hang = None, False
    assert (await gateway.until(task["task_id"], "failed", "succeeded"))["status"] == "succeeded"


def many(count: int) -> list[Json]:
    return [{"filename": f"{n}.png", "subfolder": "", "type": "output"} for n in range(count)]


@pytest.mark.parametrize("how", ["request", "timeout"])
async def test_a_cancel_is_heard_while_results_are_fetched(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr("app.runner.cancellation.AFTER_TIMEOUT", 0.5)
    monkeypatch.setattr("app.comfyui.client.VIEW", None)  # what hangs does so for ever
    demo.knobs.view_hangs = "broken"
    limit = {"timeout": 2} if how == "timeout" else {}
    task = await gateway.submit(with_victim("broken"), wait=0, **limit)

    async def has_one() -> bool:
        return len((await gateway.task(task["task_id"]))["outputs"]) == 1

    await wait_until(has_one)
    if how == "request":
        await gateway.http.post(f"/api/task/{task['task_id']}/cancel")
    done = await gateway.until(task["task_id"], "canceled", "failed", "succeeded")
    assert done["status"] == "canceled"
    assert (done["error"] or {}).get("code") == ("timeout" if how == "timeout" else None)
    assert [output["filename"] for output in done["outputs"]] == ["fine_00001_.png"]
    assert (await gateway.http.get(done["outputs"][0]["url"])).status_code == 200
    await wait_until(lambda: not gateway.gateway.dispatcher._runs)
    demo.knobs.view_hangs = None


async def test_a_cancel_after_the_run_loses_no_results_that_come_soon(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, asked, canceled = gateway.gateway.pool.get(demo.address).client, [], asyncio.Event()
    view = client.view

    def late_view(filename: str, **where: str) -> Any:
        @asynccontextmanager
        async def opened() -> AsyncIterator[Any]:
            asked.append(filename)
            await canceled.wait()
            async with view(filename, **where) as response:
                yield response

        return opened()

    monkeypatch.setattr(client, "view", late_view)
    task = await gateway.submit(model_free(3), wait=0)
    await wait_until(lambda: asked)
    answer = await gateway.http.post(f"/api/task/{task['task_id']}/cancel")
    assert answer.json()["status"] == "canceling"
    canceled.set()
    done = await gateway.until(task["task_id"], "canceled", "failed", "succeeded")
    assert (done["status"], done["error"]) == ("succeeded", None)
    assert done["warnings"] == ["The cancel came too late: the run was over."]
    assert (await gateway.http.get(done["outputs"][0]["url"])).status_code == 200


@pytest.mark.parametrize("meanwhile", ["view", "find"])
async def test_a_cancel_is_not_lost_with_the_server(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    meanwhile: str,
) -> None:
    """It comes while results are fetched, or while it is asked how the prompt is doing, of a
    server that does not answer any more."""
    async with over(settings_for, demo, server_grace=0.1) as gateway:
        client, asked, canceled = gateway.gateway.pool.get(demo.address).client, [], asyncio.Event()

        async def silent(*_: Any, **__: Any) -> Any:
            raise ComfyUnreachable("It is gone.")

        async def gone(*_: Any, **__: Any) -> Any:
            asked.append(1)
            await canceled.wait()
            monkeypatch.setattr(client, "system_stats", silent)
            raise ComfyUnreachable("It is gone.")

        @asynccontextmanager
        async def gone_view(*_: Any, **__: Any) -> AsyncIterator[Any]:
            yield await gone()

        monkeypatch.setattr(client, meanwhile, gone_view if meanwhile == "view" else gone)
        task = await gateway.submit(model_free(3), wait=0)
        await wait_until(lambda: asked)
        await gateway.http.post(f"/api/task/{task['task_id']}/cancel")
        canceled.set()
        done = await gateway.until(task["task_id"], "canceled", "failed", "succeeded")
        assert (done["status"], done["error"], done["warnings"]) == ("canceled", None, [])
        assert done["attempts"][-1]["outcome"] == "lost"


async def test_missing_files_are_not_asked_for_one_by_one_for_ever(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo.knobs.say = {"images": many(300)}
    client, asked = gateway.gateway.pool.get(demo.address).client, []
    view = client.view

    def counting(filename: str, **about: Any) -> Any:
        asked.append(filename)
        return view(filename, **about)

    client.view = counting  # type: ignore[method-assign]
    task = await gateway.submit(model_free())
    assert task["error"]["code"] == "output_unavailable"
    assert len(task["outputs"]) == 300
    assert len(asked) <= download_outputs.IN_A_ROW + 1
    assert download_outputs.NOT_ASKED in task["outputs"][-1]["error"]["message"]


async def test_a_task_has_so_many_results(
    settings_for: Callable[..., Settings], demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outputs, "MOST_RESULTS", 5)
    demo.knobs.say = {"images": [f"text {n}" for n in range(12)]}
    async with over(settings_for, demo) as gateway:
        task = await gateway.submit(model_free())
    assert task["status"] == "succeeded"
    assert [output["text"] for output in task["outputs"]] == [f"text {n}" for n in range(5)]
    assert "7 were left out" in task["warnings"][0]
