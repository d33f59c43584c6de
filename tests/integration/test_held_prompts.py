"""A server that leaves POST /prompt without an answer: that is told, and a cancel need not wait."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from app.runner import expectation
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, over, text_to_image, wait_until

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]


@pytest.fixture
async def gateway(
    demo: DemoServer, settings_for: MakeSettings, url: str
) -> AsyncIterator[RunningGateway]:
    async with over(settings_for, demo, database_url=url) as running:
        await running.submit(model_free())  # so that there are ETAs
        demo.knobs.hold_prompts = True
        yield running
        demo.knobs.hold_prompts = False


async def sent(gateway: RunningGateway, graph: Json) -> str:
    """A task whose server is asked to take it."""
    task = await gateway.submit(graph, wait=0)

    async def is_out() -> bool:
        run = gateway.gateway.dispatcher.seen(task["task_id"])
        return run is not None and run.task.submitted_at is not None

    await wait_until(is_out)
    return str(task["task_id"])


async def is_empty(demo: DemoServer) -> bool:
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as comfyui:
        return not any((await comfyui.get("/queue")).json().values())


async def test_what_waits_for_the_answer_says_so(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expectation, "ANSWERS", 0.2)
    began = time.time()
    first, second = await sent(gateway, model_free(1)), await sent(gateway, model_free(2))
    third = (await gateway.submit(model_free(3), wait=0))["task_id"]
    for task_id in (first, second, third):

        async def told(task_id: str = task_id) -> Json | None:
            task = await gateway.task(task_id)
            return task if task["waiting_for"] else None

        task = await wait_until(told)
        assert task["eta_seconds"] is None
        assert demo.address in task["waiting_for"]
        assert "has not answered since " in task["waiting_for"]
        since = task["waiting_for"].rpartition(" ")[2].rstrip(".")
        assert began - 2 < time.mktime(time.strptime(since, "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    demo.knobs.hold_prompts = False
    for task_id in (first, second, third):
        done = await gateway.until(task_id, "succeeded")
        assert done["waiting_for"] is None
        assert len(done["attempts"]) == 1
    assert len(demo.records.prompts) == 4


async def test_a_cancel_takes_effect_and_what_comes_later_is_swept(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0.05
    task_ids = [await sent(gateway, text_to_image(steps=2000, seed=seed)) for seed in (1, 2)]
    for task_id in task_ids:
        await gateway.http.post(f"/api/task/{task_id}/cancel")
    async with asyncio.timeout(WAIT):
        done = [await gateway.until(task_id, "canceled") for task_id in task_ids]
    assert [task["error"] for task in done] == [None, None]
    demo.knobs.hold_prompts = False  # they come through after all
    await wait_until(lambda: len(demo.records.prompts) == 3)
    await wait_until(lambda: is_empty(demo))
    assert (await gateway.submit(model_free(4)))["status"] == "succeeded"


async def test_one_that_comes_through_while_it_is_canceled_is_stopped(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0.05
    task_id = await sent(gateway, text_to_image(steps=2000))
    await gateway.http.post(f"/api/task/{task_id}/cancel")
    demo.knobs.hold_prompts = False
    assert (await gateway.until(task_id, "canceled"))["error"] is None
    await wait_until(lambda: is_empty(demo))
