"""Cancel works in every state, and never stops somebody else's prompt."""

import uuid
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from app.runner import run
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, run_gateway, text_to_image, wait_until


@pytest.fixture(params=[True, False], ids=["jobs-api", "old"])
async def demo(request: pytest.FixtureRequest) -> AsyncIterator[DemoServer]:
    async with DemoServer(step_seconds=0.05, jobs_api=request.param) as server:
        yield server


async def cancel(gateway: RunningGateway, task_id: str) -> dict[str, object]:
    answer = await gateway.http.post(f"/api/task/{task_id}/cancel")
    assert answer.status_code == 200
    body: dict[str, object] = answer.json()
    return body


async def test_running(gateway: RunningGateway, demo: DemoServer) -> None:
    task = await gateway.submit(text_to_image(steps=500), wait=0)
    await gateway.until(task["task_id"], "running")
    assert (await cancel(gateway, task["task_id"]))["status"] == "canceling"
    done = await gateway.until(task["task_id"], "canceled", "succeeded", "failed")
    assert (done["status"], done["error"]) == ("canceled", None)
    assert demo.records.executed[task["task_id"]].ended
    again = await cancel(gateway, task["task_id"])
    assert again["status"] == "canceled"


async def test_waiting_on_the_server(gateway: RunningGateway, demo: DemoServer) -> None:
    first = await gateway.submit(text_to_image(steps=500, seed=1), wait=0)
    second = await gateway.submit(text_to_image(steps=500, seed=2), wait=0)
    await wait_until(lambda: len(demo.records.prompts) == 2)
    await cancel(gateway, second["task_id"])
    await gateway.until(second["task_id"], "canceled")
    assert (await gateway.task(first["task_id"]))["status"] == "running"
    assert second["task_id"] not in demo.records.executed
    await cancel(gateway, first["task_id"])
    await gateway.until(first["task_id"], "canceled")


async def test_waiting_on_the_server_it_ends_at_once(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients of ComfyUI's own protocol expect it out of the queue when they are answered; no event
    of the server tells, and its next poll is far away."""
    monkeypatch.setattr(run, "POLL_SECONDS", 10 * WAIT)
    first = await gateway.submit(text_to_image(steps=500, seed=1), wait=0)
    second = await gateway.submit(text_to_image(steps=500, seed=2), wait=0)
    await wait_until(lambda: len(demo.records.prompts) == 2)
    await cancel(gateway, second["task_id"])
    await gateway.until(second["task_id"], "canceled")
    await cancel(gateway, first["task_id"])
    await gateway.until(first["task_id"], "canceled")


async def test_queued_with_us(gateway: RunningGateway, demo: DemoServer) -> None:
    held = [await gateway.submit(text_to_image(steps=500, seed=i), wait=0) for i in range(2)]
    await wait_until(lambda: len(demo.records.prompts) == 2)
    third = await gateway.submit(text_to_image(seed=9), wait=0)
    assert (await cancel(gateway, third["task_id"]))["status"] == "canceled"
    fourth = await gateway.submit(text_to_image(seed=8), wait=0)
    cleared = (await gateway.http.post("/api/queue/clear")).json()
    at_the_server = [held[1]["task_id"]]
    told = {"canceled": [fourth["task_id"]], "canceling": at_the_server, "count": 2}
    assert cleared == told, "what runs goes on"
    await gateway.until(held[1]["task_id"], "canceled")
    await cancel(gateway, held[0]["task_id"])
    await gateway.until(held[0]["task_id"], "canceled")
    assert len(demo.records.prompts) == 2


async def test_a_timeout_is_a_cancel(gateway: RunningGateway) -> None:
    task = await gateway.submit(text_to_image(steps=500), timeout=0.3)
    assert task["status"] == "canceled"
    assert task["error"]["code"] == "timeout"


async def test_a_timeout_stays_one_if_the_server_forgets_the_prompt(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def forget(_: str) -> None:
        demo.restart_empty()

    monkeypatch.setattr(gateway.gateway.pool.get(demo.address).client, "cancel", forget)
    task = await gateway.submit(text_to_image(steps=500), timeout=0.3)
    assert (task["status"], (task["error"] or {}).get("code")) == ("canceled", "timeout")


async def test_a_strangers_prompt_is_left_alone(gateway: RunningGateway, demo: DemoServer) -> None:
    stranger = str(uuid.uuid4())
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as direct:
        body = {"prompt": text_to_image(steps=60), "prompt_id": stranger, "client_id": "x"}
        assert (await direct.post("/prompt", json=body)).status_code == 200
        ours = await gateway.submit(text_to_image(seed=5), wait=0)
        await wait_until(lambda: len(demo.records.prompts) == 2)
        answer = await gateway.http.post(f"/api/interrupt/{stranger}")
        assert answer.status_code == 404
        await cancel(gateway, ours["task_id"])
        await gateway.http.post("/api/queue/clear")
        await gateway.until(ours["task_id"], "canceled")
        queue = (await gateway.http.get("/api/queue")).json()
        assert queue["servers"][0]["running"] == [stranger]
        assert queue["servers"][0]["others"] == 1

        async def finished() -> bool:
            return bool((await direct.get(f"/history/{stranger}")).json())

        await wait_until(finished)
    assert demo.records.executed[stranger].endings == ["success"]


async def test_somebody_else_interrupts_ours(gateway: RunningGateway, demo: DemoServer) -> None:
    task = await gateway.submit(text_to_image(steps=500), wait=0)
    await gateway.until(task["task_id"], "running")
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as direct:
        await direct.post("/interrupt")
    done = await gateway.until(task["task_id"], "canceled", "failed", "succeeded")
    assert (done["status"], done["error"]["code"]) == ("canceled", "interrupted")


async def test_cancel_while_no_gateway_drives_it(
    settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    """Canceled after a restart, before its server is online again: it must not run on there."""
    settings = settings_for(demo.address)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        task = await gateway.submit(text_to_image(steps=500), wait=0)
        await gateway.until(task["task_id"], "running")
    demo.knobs.hang = True
    async with run_gateway(settings) as gateway:
        assert (await cancel(gateway, task["task_id"]))["status"] == "canceling"
        demo.knobs.hang = False
        await gateway.until(task["task_id"], "canceled")
    assert demo.records.executed[task["task_id"]].endings == ["interrupted"]


async def test_model_free_tasks_canceled_at_any_moment(gateway: RunningGateway) -> None:
    for color in range(15):
        task = await gateway.submit(model_free(color), wait=0)
        await cancel(gateway, task["task_id"])
        await gateway.until(task["task_id"], "canceled", "succeeded")
