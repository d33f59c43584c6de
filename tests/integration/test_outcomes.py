"""What a task tells of how its run went: since when, what was left out and why, what went wrong."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest

from app.settings import Settings
from app.tasks.warnings import REPEATED, REPEATED_SEEDLESS
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, run_gateway, text_to_image, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
STRANGER = "00000000-0000-4000-8000-000000000002"


def blocked(message: str, *, free: bool = False) -> Json:
    """A saved picture whose way is blocked; `free`: and another one beside it."""
    graph = model_free(77)
    graph["2"] = {
        "class_type": "DemoBlocker",
        "inputs": {"image": ["1", 0], "block": True, "message": message},
    }
    if free:
        graph["4"] = {
            "class_type": "SaveImage",
            "inputs": {"images": ["1", 0], "filename_prefix": "free"},
        }
    return graph


async def test_a_run_that_no_event_and_no_look_told_of_has_begun_all_the_same(
    settings_for: MakeSettings, url: str
) -> None:
    async with DemoServer(step_seconds=0) as demo:
        demo.knobs.refuse_sockets = True
        async with over(settings_for, demo, database_url=url) as gateway:
            task = await gateway.submit(model_free())
        assert task["status"] == "succeeded"
        assert task["created_at"] <= task["started_at"] <= task["finished_at"]
        assert [attempt["ran"] for attempt in task["attempts"]] == [True]


async def test_a_run_while_the_gateway_was_away_has_begun(
    settings_for: MakeSettings, url: str
) -> None:
    async with DemoServer(step_seconds=0) as demo:
        demo.knobs.stall = True
        async with httpx.AsyncClient(base_url=f"http://{demo.address}") as direct:
            body = {"prompt": model_free(99), "client_id": "x", "prompt_id": STRANGER}
            await direct.post("/prompt", json=body)
        settings = settings_for(demo.address, database_url=url)
        async with run_gateway(settings) as gateway:
            task = await gateway.submit(model_free(), wait=0)
            await wait_until(lambda: len(demo.records.prompts) == 2)
        demo.knobs.stall = False
        await wait_until(lambda: demo.records.execution(task["task_id"]).ended)
        ended = time.time()
        async with run_gateway(settings) as gateway:
            done = await gateway.until(task["task_id"], "succeeded", "failed")
        assert done["status"] == "succeeded"
        assert datetime.fromisoformat(done["started_at"]).timestamp() <= ended, "as ComfyUI has it"
        assert done["created_at"] <= done["started_at"] <= done["finished_at"]
        assert [attempt["ran"] for attempt in done["attempts"]] == [True]


@pytest.mark.parametrize("free", [True, False])
async def test_what_a_blocker_says_is_told(gateway: RunningGateway, free: bool) -> None:
    task = await gateway.submit(blocked("the face was not found", free=free))
    assert (task["status"], task["error"]) == ("succeeded", None)
    first, *others = task["warnings"]
    assert first == "Node 3 (SaveImage) did not run, it was blocked: the face was not found"
    assert len(task["outputs"]) == free
    assert bool(others) is not free
    assert all("no results" in warning and "blocked" in warning for warning in others)


async def test_a_run_without_results_says_so(gateway: RunningGateway) -> None:
    (said,) = (await gateway.submit(blocked("")))["warnings"]
    assert "no results" in said
    assert "SaveImage" in said
    saves_without_a_word = {
        "4": text_to_image()["4"],
        "5": {
            "class_type": "VAESave",
            "inputs": {"vae": ["4", 2], "filename_prefix": "vae"},
        },
    }
    task = await gateway.submit(saves_without_a_word)
    assert (task["status"], task["outputs"]) == ("succeeded", [])
    (said,) = task["warnings"]
    assert "no results" in said
    assert "VAESave" in said
    again, said = (await gateway.submit(saves_without_a_word))["warnings"]
    assert again == REPEATED_SEEDLESS
    assert "no results" in said
    assert "from its cache" in said


async def test_a_run_that_came_from_the_cache_as_a_whole_says_so(gateway: RunningGateway) -> None:
    assert (await gateway.submit(text_to_image(seed=5)))["warnings"] == []
    again = await gateway.submit(text_to_image(seed=5))
    assert again["warnings"] == [REPEATED]
    assert "a seed of -1" in REPEATED
    in_part = await gateway.submit(text_to_image(seed=6))
    assert in_part["warnings"] == []


@pytest.mark.parametrize(
    ("kind", "message", "code"),
    [
        ("ValueError", "OutOfMemoryError is what it says", "execution_error"),
        ("torch.AcceleratorError", "CUDA error: out of memory", "out_of_memory"),
        ("MemoryError", "", "out_of_memory"),
        ("my.nodes.Odd", "", "execution_error"),
    ],
)
async def test_an_error_of_any_class_names_node_class_and_reason(
    gateway: RunningGateway, demo: DemoServer, kind: str, message: str, code: str
) -> None:
    demo.knobs.fail_node = "ImageInvert"
    demo.knobs.say = {"exception_type": kind, "exception_message": message, "node_type": None}
    task = await gateway.submit(model_free(12))
    error = task["error"]
    assert (task["status"], error["code"]) == ("failed", code)
    assert (error["node_id"], error["class_type"]) == ("2", "ImageInvert")
    assert error["message"].startswith(kind)
    assert message in error["message"]
    assert len(task["attempts"]) == (2 if code == "out_of_memory" else 1)
