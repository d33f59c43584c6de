"""Answers that are not ComfyUI's own, for a moment or for good, to whatever is asked while a prompt
runs: what became of it is asked again, and what is no file is none."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free

Json = dict[str, Any]

ODD: list[tuple[int, Any]] = [
    (500, "x"),
    (502, "<html>"),
    (200, "<html>"),
    (200, []),
    (200, ""),
    (401, "x"),
    (404, {"error": "x"}),
    (302, ""),
]


@pytest.mark.parametrize("answer", [*ODD, "null", "a list", "a text"])
@pytest.mark.parametrize("path", ["/history/", "/queue"])
async def test_what_became_of_a_prompt_is_asked_again(
    gateway: RunningGateway, demo: DemoServer, answer: Any, path: str
) -> None:
    demo.knobs.slow = 1
    task = await gateway.submit(model_free(), wait=0)
    await gateway.until(task["task_id"], "running")
    entries: Json = {"null": None, "a list": [1], "a text": "gone"}
    if isinstance(answer, str):
        answer = (200, {task["task_id"]: entries[answer]})
    demo.knobs.reject_with, demo.knobs.reject_path = answer, path
    demo.knobs.slow = 0
    server = gateway.gateway.pool.get(demo.address)
    asked, find = asyncio.Event(), server.client.find

    async def noted(*args: Any, **more: Any) -> Any:
        try:
            return await find(*args, **more)
        finally:
            asked.set()

    server.client.find = noted  # type: ignore[method-assign]
    await asked.wait()
    demo.knobs.reject_path = demo.knobs.reject_with = None
    done = await gateway.until(task["task_id"], "succeeded", "failed", "canceled")
    assert done["status"] == "succeeded", done["error"]
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["succeeded"]
    assert len(demo.records.prompts) == 1


@pytest.mark.parametrize("answer", [*ODD, (204, "")])
async def test_what_is_no_file_is_none(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setattr("app.runner.download_outputs.PAUSES", (0.01, 0.01))
    monkeypatch.setattr("app.runner.download_outputs.PAUSES_IN_FRONT", (0.01, 0.01, 0.01))
    demo.knobs.reject_with, demo.knobs.reject_path = answer, "/view"
    task = await gateway.submit(model_free())
    demo.knobs.reject_path = demo.knobs.reject_with = None
    assert (task["status"], task["error"]["code"]) == ("failed", "output_unavailable")
    (lost,) = task["outputs"]
    assert lost["error"]["message"], json.dumps(task)
    assert lost["size_bytes"] is None


def at_view(
    gateway: RunningGateway, demo: DemoServer, number: int, act: Callable[[], None]
) -> None:
    """Do that before the request of this number for a file."""
    client = gateway.gateway.pool.get(demo.address).client
    view, times = client.view, 0

    def counted(*args: Any, **more: Any) -> Any:
        nonlocal times
        times += 1
        if times == number:
            act()
        return view(*args, **more)

    client.view = counted  # type: ignore[method-assign]


async def test_a_file_that_is_not_to_be_had_for_a_moment(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.view_fails = "test"
    task = await gateway.submit(model_free(), wait=0)
    at_view(gateway, demo, 4, lambda: setattr(demo.knobs, "view_fails", None))
    done = await gateway.until(task["task_id"], "succeeded", "failed")
    assert done["status"] == "succeeded", done["error"]


@pytest.mark.parametrize("answer", [(502, "x"), (200, "<html>"), (200, {"error": 1}), (401, "")])
async def test_a_file_behind_something_that_comes_back(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    """It is asked for longer than one that ComfyUI itself does not hand out."""
    monkeypatch.setattr("app.runner.download_outputs.PAUSES", (0.01,))
    monkeypatch.setattr("app.runner.download_outputs.PAUSES_IN_FRONT", (0.01,) * 50)
    demo.knobs.reject_with, demo.knobs.reject_path = answer, "/view"
    at_view(gateway, demo, 20, lambda: setattr(demo.knobs, "reject_path", None))
    task = await gateway.submit(model_free())
    assert task["status"] == "succeeded", task["error"]
