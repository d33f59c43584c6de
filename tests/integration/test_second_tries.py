"""What is tried again, what is not, and servers that are taken out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.servers.breaker import FAILURES
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until
from tests.keyholders import guarded

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
STRANGER = "00000000-0000-4000-8000-000000000001"


def outcomes(task: Json) -> list[str]:
    return [attempt["outcome"] for attempt in task["attempts"]]


async def test_out_of_memory_is_answered_with_free_and_one_more_try(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.oom = "KSampler"
    task = await gateway.submit(text_to_image(steps=1))
    assert (task["status"], outcomes(task)) == ("succeeded", ["out_of_memory", "succeeded"])
    assert demo.records.frees == [{"unload_models": True, "free_memory": True}]
    assert demo.records.executed[task["task_id"]].starts == 2
    assert [output["node_id"] for output in task["outputs"]] == ["9"]


async def test_out_of_memory_twice_is_the_end(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.oom = "KSampler"
    task = await gateway.submit(text_to_image(steps=1), wait=0)

    async def again() -> bool:
        if len(demo.records.frees) == 1:
            demo.knobs.oom = "KSampler"  # the knob turns itself off
        found = await gateway.task(task["task_id"])
        return bool(found["finished_at"])

    demo.knobs.slow = 0.2
    await wait_until(again)
    task = await gateway.task(task["task_id"])
    assert (task["status"], task["error"]["code"]) == ("failed", "out_of_memory")
    assert outcomes(task) == ["out_of_memory", "out_of_memory"]


async def test_results_gone_from_the_cache_are_made_again(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    first = await gateway.submit(model_free())
    demo.knobs.missing_outputs = True
    demo.knobs.slow = 0.5  # so that the second run is not over before the files are back
    second = await gateway.submit(model_free(), wait=0)

    async def tried() -> bool:
        return len((await gateway.task(second["task_id"]))["attempts"]) == 2

    await wait_until(tried)
    demo.knobs.missing_outputs = False
    done = await gateway.until(second["task_id"], "succeeded", "failed")
    assert (done["status"], outcomes(done)) == ("succeeded", ["output_unavailable", "succeeded"])
    (output,) = done["outputs"]
    assert output["filename"] != first["outputs"][0]["filename"], "a new file, not the cached one"
    assert (await gateway.http.get(output["url"])).status_code == 200
    assert done["error"] is None


async def test_a_bad_graph_is_never_tried_again(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.fail_node = "KSampler"
    task = await gateway.submit(text_to_image(steps=1))
    assert (task["status"], outcomes(task)) == ("failed", ["failed"])
    assert demo.records.executed[task["task_id"]].starts == 1


@pytest.mark.slow
async def test_a_server_that_fails_everything_is_taken_out_and_comes_back(
    settings_for: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.servers.breaker.FIRST_PAUSE", 1.5)
    async with DemoServer(step_seconds=0) as demo, over(settings_for, demo) as gateway:
        assert (await gateway.submit(text_to_image(steps=1)))["status"] == "succeeded"
        demo.knobs.fail_node = "KSampler"
        for seed in range(2, FAILURES + 2):
            task = await gateway.submit(text_to_image(steps=1, seed=seed))
            assert task["status"] == "failed"
        (server,) = (await gateway.http.get("/api/servers")).json()["servers"]
        assert (server["state"], server["accepting"]) == ("failing", False)
        assert str(FAILURES) in server["reason"]
        waiting = await gateway.submit(text_to_image(steps=1, seed=50), wait=0)
        found = await gateway.task(waiting["task_id"])
        assert (found["status"], found["server"]) == ("queued", None)
        assert "failing" in found["waiting_for"]

        async def on_trial() -> bool:
            return outcomes(await gateway.task(waiting["task_id"])) == ["failed"]

        await wait_until(on_trial)  # it failed again, which says nothing about the task
        assert (await gateway.task(waiting["task_id"]))["status"] == "queued"
        demo.knobs.fail_node = None
        done = await gateway.until(waiting["task_id"], "succeeded", "failed")
        assert (done["status"], outcomes(done)) == ("succeeded", ["failed", "succeeded"])
        (server,) = (await gateway.http.get("/api/servers")).json()["servers"]
        assert (server["state"], server["reason"]) == ("online", None)


ATTACKER_AND_VICTIM: Json = {"mallory": "run", "victim": "run", "third": "run"}


async def ended(client: httpx.AsyncClient, workflow: Json, wait: int = 10) -> Json:
    body = {"workflow": workflow}
    answer = await client.post(f"/api/workflow/submit?wait={wait}", json=body)
    assert answer.status_code in (200, 202), answer.text
    found: Json = answer.json()
    return found


def saved_as(prefix: str) -> Json:
    size = {"width": 64, "height": 64, "batch_size": 1, "color": 0}
    return {
        "1": {"class_type": "EmptyImage", "inputs": size},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


@pytest.mark.parametrize("way", ["path", "RuntimeError"])
async def test_failures_of_one_key_are_nobody_elses_pause(
    settings_for: MakeSettings, tmp_path: Path, way: str
) -> None:
    async with (
        DemoServer(step_seconds=0) as demo,
        guarded(settings_for, tmp_path, demo, keys=ATTACKER_AND_VICTIM) as gate,
    ):
        mallory, victim = await gate.client("mallory"), await gate.client("victim")
        assert (await ended(mallory, saved_as("x")))["status"] == "succeeded"
        demo.knobs.fail_node = "SaveImage" if way == "RuntimeError" else None
        for number in range(FAILURES):
            prefix = "../" * 3 + f"x{number}" if way == "path" else f"x{number}"
            assert (await ended(mallory, saved_as(prefix)))["status"] == "failed"
        (server,) = (await victim.get("/api/servers")).json()["servers"]
        assert (server["state"], server["accepting"]) == ("online", True)
        more = [await ended(mallory, saved_as("y"), wait=0) for _ in range(40)]  # a full window
        last = (await mallory.get(f"/api/task/{more[-1]['task_id']}")).json()
        assert way == "path" or "failing" in last["waiting_for"]
        demo.knobs.fail_node = None
        assert (await ended(victim, saved_as("mine")))["status"] == "succeeded"


async def test_a_server_that_fails_all_keys_is_taken_out(
    settings_for: MakeSettings, tmp_path: Path
) -> None:
    async with (
        DemoServer(step_seconds=0) as demo,
        guarded(settings_for, tmp_path, demo, keys=ATTACKER_AND_VICTIM) as gate,
    ):
        clients = [await gate.client(name) for name in ATTACKER_AND_VICTIM]
        assert (await ended(clients[0], saved_as("x")))["status"] == "succeeded"
        demo.knobs.fail_node = "SaveImage"
        for number in range(FAILURES):
            failed = await ended(clients[number % 3], saved_as(f"x{number}"))
            assert failed["status"] == "failed"
        (server,) = (await clients[0].get("/api/servers")).json()["servers"]
        assert (server["state"], server["accepting"]) == ("failing", False)


async def test_a_stalled_server_gets_no_work_and_loses_what_waits_there(
    settings_for: MakeSettings,
) -> None:
    async with (
        DemoServer(step_seconds=0) as stuck,
        DemoServer(step_seconds=0) as well,
        over(settings_for, stuck, well, stall_timeout=0.5) as gateway,
    ):
        stuck.knobs.stall = True
        runs = await gateway.submit(model_free(1), wait=0, server=stuck.address)
        await gateway.until(runs["task_id"], "running")
        well.knobs.stall = True  # so that the next ones have to wait on both
        others = [await gateway.submit(model_free(n), wait=0) for n in range(2, 5)]
        await wait_until(lambda: len(stuck.records.prompts) == 2)
        well.knobs.stall = False
        for task in others:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], done["server"]) == ("succeeded", well.address)
        listed = (await gateway.http.get("/api/servers")).json()["servers"]
        assert [server["state"] for server in listed] == ["stalled", "online"]
        found = await gateway.task(runs["task_id"])
        assert found["status"] == "running"
        assert "may be stuck" in found["warnings"][0]
        assert set(stuck.records.executed) == {runs["task_id"]}, "the other one was withdrawn"
        stuck.knobs.stall = False
        assert (await gateway.until(runs["task_id"], "succeeded", "failed"))["error"] is None
        (first, _) = (await gateway.http.get("/api/servers")).json()["servers"]
        assert (first["state"], first["accepting"]) == ("online", True)


@pytest.mark.slow
async def test_prompts_that_went_elsewhere_are_canceled_when_their_server_is_back(
    settings_for: MakeSettings,
) -> None:
    async with (
        DemoServer(step_seconds=0) as frozen,
        DemoServer(step_seconds=0) as well,
        over(settings_for, frozen, well, server_grace=0.5) as gateway,
    ):
        frozen.knobs.stall = True
        tasks = [await gateway.submit(model_free(n), wait=0, server=None) for n in range(2)]
        await wait_until(lambda: len(frozen.records.prompts) + len(well.records.prompts) == 2)
        async with httpx.AsyncClient(base_url=f"http://{frozen.address}") as direct:
            body = {"prompt": model_free(99), "client_id": "x", "prompt_id": STRANGER}
            await direct.post("/prompt", json=body)
        frozen.knobs.hang = True
        for task in tasks:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
            assert (done["status"], done["server"]) == ("succeeded", well.address)
        frozen.knobs.hang = False
        await wait_until(lambda: gateway.gateway.pool.get(frozen.address).accepting)
        frozen.knobs.stall = False
        await wait_until(lambda: frozen.records.execution(STRANGER).ended == "success")
        endings = [frozen.records.execution(task["task_id"]).ended for task in tasks]
        assert "success" not in endings, "nothing of ours ran there once more"
