"""Ids of tasks that clients choose: a prompt_id, as ComfyUI takes it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over

Json = dict[str, Any]
SUBMIT = "/api/workflow/submit?wait=60"


@pytest.fixture
async def gateway(
    settings_for: Callable[..., Settings], demo: DemoServer, url: str
) -> AsyncIterator[RunningGateway]:
    async with over(settings_for, demo, database_url=url) as running:
        yield running


async def test_it_is_the_id_of_the_task(gateway: RunningGateway, demo: DemoServer) -> None:
    for field in ("prompt", "workflow"):
        wanted = str(uuid4())
        body = {field: model_free(), "prompt_id": wanted.upper()}
        task = (await gateway.http.post(SUBMIT, json=body)).json()
        assert (task["task_id"], task["prompt_id"], task["status"]) == (wanted, wanted, "succeeded")
        assert demo.records.prompts[-1].prompt_id == wanted
        answer = await gateway.http.post(SUBMIT, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, "prompt_id")
        assert (await gateway.http.delete(f"/api/task/{wanted}")).status_code == 204
        answer = await gateway.http.post(SUBMIT, json=body)
        assert answer.status_code == 422, "the server has the results of the former one"


async def test_what_a_server_runs_for_others(gateway: RunningGateway, demo: DemoServer) -> None:
    theirs = str(uuid4())
    async with httpx.AsyncClient(base_url=f"http://{demo.address}") as comfyui:
        await comfyui.post("/prompt", json={"prompt": model_free(), "prompt_id": theirs})
    answer = await gateway.http.post(SUBMIT, json={"prompt": model_free(), "prompt_id": theirs})
    assert (answer.status_code, answer.json()["field"]) == (422, "prompt_id")


async def test_twice_at_once(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    body = {"prompt": model_free(), "prompt_id": str(uuid4())}
    url = "/api/workflow/submit"
    answers = await asyncio.gather(*(gateway.http.post(url, json=body) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [202] + [422] * 7
    body["prompt_id"], headers = str(uuid4()), {"Idempotency-Key": "k"}
    posts = (gateway.http.post(url, json=body, headers=headers) for _ in range(4))
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} == {202}, [a.text for a in answers]
    assert {answer.json()["task_id"] for answer in answers} == {body["prompt_id"]}


@pytest.mark.parametrize("wrong", ["", "x", 1, "{48ea15ed-eca4-4337-ab9e-62cd40da60a8}", "0" * 32])
async def test_others_are_refused(gateway: RunningGateway, wrong: Any) -> None:
    answer = await gateway.http.post(SUBMIT, json={"prompt": model_free(), "prompt_id": wrong})
    assert answer.status_code == 422, answer.text
    assert "prompt_id" in answer.text
    body = {"workflow": model_free(), "prompt_id": str(uuid4()), "batch": {"1.color": [1, 2]}}
    answer = await gateway.http.post(SUBMIT, json=body)
    assert answer.status_code == 422, answer.text
    assert "prompt_id" in answer.text
