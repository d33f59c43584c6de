"""ComfyUI away, lost, restarted, deaf: every task comes to a defined end."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from app.runner import run
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, text_to_image, wait_until
from tests.folders import settled
from tests.ports import free_port

MakeSettings = Callable[..., Settings]


async def test_comfyui_down_at_start(settings_for: MakeSettings) -> None:
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with run_gateway(settings_for(address)) as gateway:
        health = (await gateway.http.get("/api/health")).json()
        assert health["status"] == "degraded"
        assert address in health["reason"]
        assert (await gateway.http.get("/api/ready")).status_code == 503
        task = await gateway.submit(model_free(), wait=0)
        assert (task["status"], task["queue_position"]) == ("queued", 1)
        async with DemoServer(port=port, step_seconds=0):
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert done["status"] == "succeeded"
            assert (await gateway.http.get("/api/ready")).status_code == 200


async def test_lost_for_good_while_running(demo: DemoServer, settings_for: MakeSettings) -> None:
    demo.knobs.step_seconds = 0.5
    async with run_gateway(settings_for(demo.address, server_grace=0.5)) as gateway:
        await gateway.online()
        task = await gateway.submit(text_to_image(steps=100), wait=0)
        await gateway.until(task["task_id"], "running")
        await demo.__aexit__(None, None, None)
        done = await gateway.until(task["task_id"], "failed", "succeeded")
    assert done["status"] == "failed"
    assert done["error"]["code"] == "server_lost"
    assert "retry" in done["error"]["message"]
    assert done["attempts"][0]["outcome"] == "lost"


async def test_restarted_empty_while_running(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    running = await gateway.submit(text_to_image(seed=1), wait=0)
    waiting = await gateway.submit(text_to_image(seed=2), wait=0)
    await gateway.until(running["task_id"], "running")
    await wait_until(lambda: len(demo.records.prompts) == 2)
    demo.knobs.stall = False
    demo.restart_empty()
    for task in (running, waiting):
        done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert done["status"] == "succeeded", done["error"]
        assert [attempt["outcome"] for attempt in done["attempts"]] == ["lost", "succeeded"]


async def test_socket_cut_for_the_whole_run(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.refuse_sockets = True
    await wait_until(lambda: not next(iter(gateway.gateway.pool)).connected)
    task = await gateway.submit(text_to_image())
    assert task["status"] == "succeeded"
    assert len(task["outputs"]) == 1


async def test_socket_dropped_in_the_middle(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.05
    demo.knobs.drop_socket_after = 8
    task = await gateway.submit(text_to_image(steps=10))
    assert task["status"] == "succeeded"
    assert demo.knobs.drop_socket_after is None, "the socket was not dropped"


async def test_a_lost_answer_to_the_post_is_no_second_run(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.lose_prompt_reply = True
    task = await gateway.submit(model_free())
    assert task["status"] == "succeeded"
    assert demo.records.executed[task["task_id"]].starts == 1
    assert len(demo.records.prompts) == 1


async def test_what_the_server_takes_and_forgets_comes_to_an_end(
    demo: DemoServer, settings_for: MakeSettings
) -> None:
    demo.knobs.forget_prompts = True
    async with run_gateway(settings_for(demo.address, max_attempts=2)) as gateway:
        await gateway.online()
        done = await gateway.submit(model_free())
        assert (done["status"], done["error"]["code"]) == ("failed", "prompt_forgotten")
        assert demo.address in done["error"]["message"]
        assert [attempt["outcome"] for attempt in done["attempts"]] == ["forgotten"] * 2
        assert len(demo.records.prompts) == 2
        demo.knobs.forget_prompts = False
        assert (await gateway.submit(model_free()))["status"] == "succeeded"


async def test_what_was_forgotten_comes_after_what_waits(
    demo: DemoServer, settings_for: MakeSettings
) -> None:
    demo.knobs.forget_prompts = True
    async with run_gateway(settings_for(demo.address, slots=1)) as gateway:
        await gateway.online()
        first = await gateway.submit(model_free(1), wait=0)
        await wait_until(lambda: demo.records.prompts)
        second = await gateway.submit(model_free(2), wait=0)
        demo.knobs.forget_prompts = False
        for task in (first, second):
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert done["status"] == "succeeded", done["error"]
    sent = [prompt.prompt_id for prompt in demo.records.prompts]
    assert sent == [first["task_id"], second["task_id"], first["task_id"]]


async def test_history_later_than_the_events(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.hide_history = 3
    assert (await gateway.submit(model_free()))["status"] == "succeeded"


@pytest.mark.slow
async def test_frozen_server_is_seen_and_comes_back(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0.05
    task = await gateway.submit(text_to_image(steps=20), wait=0)
    await gateway.until(task["task_id"], "running")
    demo.knobs.hang = True
    await wait_until(lambda: not gateway.gateway.pool.online())
    health = (await gateway.http.get("/api/health")).json()
    assert "does not answer" in health["reason"]
    demo.knobs.hang = False
    assert (await gateway.until(task["task_id"], "succeeded", "failed"))["status"] == "succeeded"


@pytest.mark.parametrize("jobs_api", [True, False])
async def test_gateway_restarted_while_a_task_runs(
    settings_for: MakeSettings, jobs_api: bool
) -> None:
    async with DemoServer(step_seconds=0.1, jobs_api=jobs_api) as demo:
        settings = settings_for(demo.address)
        async with run_gateway(settings) as gateway:
            await gateway.online()
            first = await gateway.submit(text_to_image(steps=15, seed=1), wait=0)
            others = [
                await gateway.submit(text_to_image(steps=2, seed=seed), wait=0)
                for seed in range(2, 6)
            ]
            await gateway.until(first["task_id"], "running")
        assert not demo.records.executed[first["task_id"]].ended
        async with run_gateway(settings) as gateway:
            for task in (first, *others):
                done = await gateway.until(task["task_id"], "succeeded", "failed")
                assert done["status"] == "succeeded", done["error"]
                assert len(done["outputs"]) == 1
                assert len(done["attempts"]) == 1, "re-attached, not started again"
        starts = {task: run.starts for task, run in demo.records.executed.items()}
        assert starts == {task["task_id"]: 1 for task in (first, *others)}


@pytest.mark.parametrize("max_attempts", [1, 2])
async def test_restarted_with_another_server_while_a_task_runs(
    demo: DemoServer, settings_for: MakeSettings, max_attempts: int
) -> None:
    """As after a removal by request: it waits for the other one, which is not online yet."""
    demo.knobs.stall = True
    async with run_gateway(settings_for(demo.address)) as gateway:
        await gateway.online()
        task = await gateway.submit(text_to_image(), wait=0)
        await gateway.until(task["task_id"], "running")
    async with DemoServer(step_seconds=0) as other:
        settings = settings_for(other.address, max_attempts=max_attempts)
        async with run_gateway(settings) as gateway:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
    first, *others = done["attempts"]
    assert (first["server"], first["outcome"], first["ran"]) == (demo.address, "lost", True)
    if max_attempts == 1:
        assert (done["error"]["code"], others) == ("server_removed", [])
    else:
        assert done["error"] is None
        assert [(one["server"], one["outcome"]) for one in others] == [(other.address, "succeeded")]


async def test_progress_goes_on_after_a_gateway_restart(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "POLL_SECONDS", 60)
    async with DemoServer(step_seconds=0.1) as demo:
        settings = settings_for(demo.address)
        async with run_gateway(settings) as gateway:
            await gateway.online()
            task = await gateway.submit(text_to_image(steps=30), wait=0)
            await gateway.until(task["task_id"], "running")
        async with run_gateway(settings) as gateway:
            # Events come only to the client_id that the prompt was sent under.
            async def has_steps() -> bool:
                return bool((await gateway.task(task["task_id"]))["progress"]["step"])

            await wait_until(has_steps)
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert done["status"] == "succeeded"


async def test_results_gone_from_the_server_are_said(
    gateway: RunningGateway, demo: DemoServer, tmp_path: Path
) -> None:
    demo.knobs.missing_outputs = True
    task = await gateway.submit(model_free())
    assert task["status"] == "failed"
    assert task["error"]["code"] == "output_unavailable"
    assert task["outputs"][0]["error"]["code"] == "output_unavailable"
    await settled(tmp_path / "outputs")


async def test_an_error_in_a_node(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.fail_node = "KSampler"
    task = await gateway.submit(text_to_image())
    assert task["status"] == "failed"
    assert task["error"]["code"] == "execution_error"
    assert (task["error"]["node_id"], task["error"]["class_type"]) == ("3", "KSampler")
    assert task["error"]["traceback"]


async def test_many_tasks_each_once(gateway: RunningGateway, demo: DemoServer) -> None:
    tasks = await asyncio.gather(
        *(gateway.submit(model_free(color), wait=0) for color in range(40))
    )
    for task in tasks:
        done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert done["status"] == "succeeded"
    assert [run.starts for run in demo.records.executed.values()] == [1] * 40


async def test_priority_comes_first(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    held = [await gateway.submit(model_free(i), wait=0) for i in range(2)]
    await wait_until(lambda: len(demo.records.prompts) == 2)
    low = await gateway.submit(model_free(10), wait=0, priority=-5)
    normal = await gateway.submit(model_free(11), wait=0)
    high = await gateway.submit(model_free(12), wait=0, priority=5)
    positions = [(await gateway.task(t["task_id"]))["queue_position"] for t in (low, normal, high)]
    assert positions[2] < positions[1] < positions[0]
    demo.knobs.stall = False
    for task in (*held, low, normal, high):
        await gateway.until(task["task_id"], "succeeded")
    order = [prompt.prompt_id for prompt in demo.records.prompts]
    assert order[2:] == [task["task_id"] for task in (high, normal, low)]
