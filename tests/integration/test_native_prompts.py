"""Prompts of ComfyUI's own protocol: what is posted, what waits, what has ended."""

import asyncio
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.db.native_tasks import NativeTasks
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, wait_until

Json = dict[str, Any]


async def posted(http: httpx.AsyncClient, body: Json) -> Json:
    answer = await http.post("/prompt", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def ended(http: httpx.AsyncClient, prompt_id: str) -> Json:
    """Its entry in the history."""

    async def entry() -> Json | None:
        found: Json = (await http.get(f"/history/{prompt_id}")).json()
        return found.get(prompt_id)

    return await wait_until(entry)


async def test_a_prompt_is_queued_run_and_in_the_history(gateway: RunningGateway) -> None:
    extra = {"extra_pnginfo": {"workflow": {"nodes": [], "id": "w"}}, "api_key_comfy_org": "k-1"}
    body = {"prompt": model_free(), "client_id": "abc", "extra_data": extra}
    answer = await posted(gateway.http, body)
    assert answer.keys() == {"prompt_id", "number", "node_errors"}
    entry = await ended(gateway.http, answer["prompt_id"])
    number, prompt_id, prompt, along, outputs = entry["prompt"]
    assert (number, prompt_id) == (answer["number"], answer["prompt_id"])
    assert prompt == model_free()
    assert outputs == ["3"]
    assert isinstance(along["create_time"], int)
    assert along | {"create_time": 0} == {
        "extra_pnginfo": extra["extra_pnginfo"],
        "client_id": "abc",
        "create_time": 0,
    }
    assert entry["status"]["status_str"] == "success"
    assert entry["status"]["completed"] is True
    (picture,) = entry["outputs"]["3"]["images"]
    assert picture["subfolder"].split("/")[0] == prompt_id
    assert entry.keys() == {"prompt", "outputs", "status", "meta"}
    assert (await gateway.http.get("/prompt")).json() == {"exec_info": {"queue_remaining": 0}}
    every = (await gateway.http.get("/history")).json()
    assert every == {prompt_id: entry}


async def test_the_same_prompt_twice_is_one_task(gateway: RunningGateway, demo: DemoServer) -> None:
    prompt_id = str(uuid4())
    body = {"prompt": model_free(), "client_id": "abc", "prompt_id": prompt_id}
    answers = await asyncio.gather(*(posted(gateway.http, body) for _ in range(3)))
    await ended(gateway.http, prompt_id)
    answers.append(await posted(gateway.http, body))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["prompt_id"] == prompt_id
    assert [one.prompt_id for one in demo.records.prompts] == [prompt_id]
    other = await gateway.http.post("/prompt", json={**body, "prompt": model_free(7)})
    assert other.status_code == 400
    assert other.json()["error"]["message"]


async def test_at_every_moment_a_task_is_in_the_queue_or_in_the_history(
    gateway: RunningGateway,
) -> None:
    """The queue is asked first, as what ends in between is in the history then."""
    bodies = [{"prompt": model_free(color), "client_id": "abc"} for color in range(12)]
    ids = {(await posted(gateway.http, body))["prompt_id"] for body in bodies}
    history: Json = {}
    while history.keys() != ids:
        queue = (await gateway.http.get("/queue")).json()
        count = (await gateway.http.get("/prompt")).json()["exec_info"]["queue_remaining"]
        history = (await gateway.http.get("/history")).json()
        waiting = {row[1] for rows in queue.values() for row in rows}
        assert ids == waiting | history.keys()
        assert count <= len(waiting)


async def test_one_bad_output_does_not_stop_the_others(gateway: RunningGateway) -> None:
    bad = {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": ["9", 0]}}
    answer = await posted(gateway.http, {"prompt": {**model_free(), "4": bad}})
    assert list(answer["node_errors"]) == ["4"]
    entry = await ended(gateway.http, answer["prompt_id"])
    assert entry["prompt"][2] == {**model_free(), "4": bad}
    assert entry["prompt"][4] == ["3"]
    assert entry["status"]["completed"] is True
    assert list(entry["outputs"]) == ["3"]


async def test_polling_reads_no_task_again(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has ended is read and encoded once; which tasks there are is asked each time."""
    ids = [(await posted(gateway.http, {"prompt": model_free(c)}))["prompt_id"] for c in range(3)]
    for prompt_id in ids:
        await ended(gateway.http, prompt_id)
    paths = ("/history", f"/history/{ids[0]}", "/history?max_items=2", "/api/jobs", "/queue")
    first = [(await gateway.http.get(path)).content for path in paths]
    read: list[Any] = []
    whole = NativeTasks.whole

    async def noted(self: NativeTasks, task_ids: Any) -> Any:
        read.append(task_ids)
        return await whole(self, task_ids)

    monkeypatch.setattr(NativeTasks, "whole", noted)
    assert [(await gateway.http.get(path)).content for path in paths] == first
    assert read == []
    await gateway.http.post("/history", json={"delete": [ids[1]]})
    assert list((await gateway.http.get("/history")).json()) == [ids[0], ids[2]]
    assert len((await gateway.http.get("/api/jobs")).json()["jobs"]) == 2
    last = await posted(gateway.http, {"prompt": model_free(9)})
    await ended(gateway.http, last["prompt_id"])
    assert list((await gateway.http.get("/history")).json()) == [ids[0], ids[2], last["prompt_id"]]
    assert read == [[last["prompt_id"]]] * len(read)
