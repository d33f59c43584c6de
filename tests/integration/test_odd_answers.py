"""Answers that are not ComfyUI's own, for a moment or for good, to whatever is asked while a prompt
runs: what became of it is asked again, and what is no file is none."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over

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


@pytest.mark.parametrize("path", ["/history/", "/queue"])
async def test_what_became_of_a_prompt_is_asked_again(
    settings_for: Callable[..., Settings], subtests: pytest.Subtests, path: str
) -> None:
    # A ComfyUI without /api/jobs: otherwise its queue would not be asked for.
    async with (
        DemoServer(step_seconds=0, jobs_api=False) as demo,
        over(settings_for, demo) as gateway,
    ):
        for answer in (*ODD, "null", "a list", "a text"):
            with subtests.test(str(answer)):
                await check_asked_again(gateway, demo, answer, path)


async def check_asked_again(
    gateway: RunningGateway, demo: DemoServer, answer: Any, path: str
) -> None:
    before = len(demo.records.prompts)
    demo.knobs.stall = True
    task = await gateway.submit(model_free(), wait=0)
    await gateway.until(task["task_id"], "running")
    entries: Json = {"null": None, "a list": [1], "a text": "gone"}
    if isinstance(answer, str):
        answer = (200, {task["task_id"]: entries[answer]})
    demo.knobs.reject_with, demo.knobs.reject_path = answer, path
    client = gateway.gateway.pool.get(demo.address).client
    name = "queue" if path == "/queue" else "history_entry"
    asked, ask = asyncio.Event(), getattr(client, name)

    async def noted(*args: Any, **more: Any) -> Any:
        try:
            return await ask(*args, **more)
        finally:
            asked.set()

    setattr(client, name, noted)
    demo.knobs.stall = path == "/queue"  # which is not asked for once there is a history
    await asked.wait()
    setattr(client, name, ask)
    demo.knobs.reject_path = demo.knobs.reject_with = None
    demo.knobs.stall = False
    done = await gateway.until(task["task_id"], "succeeded", "failed", "canceled")
    assert done["status"] == "succeeded", done["error"]
    assert [attempt["outcome"] for attempt in done["attempts"]] == ["succeeded"]
    assert len(demo.records.prompts) == before + 1


async def test_what_is_no_file_is_none(
    gateway: RunningGateway,
    demo: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    subtests: pytest.Subtests,
) -> None:
    monkeypatch.setattr("app.runner.download_outputs.PAUSES", (0.01, 0.01))
    monkeypatch.setattr("app.runner.download_outputs.PAUSES_IN_FRONT", (0.01, 0.01, 0.01))
    for color, answer in enumerate([*ODD, (204, "")]):
        with subtests.test(str(answer)):
            demo.knobs.reject_with, demo.knobs.reject_path = answer, "/view"
            task = await gateway.submit(model_free(color))
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
