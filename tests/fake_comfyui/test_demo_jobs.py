"""/api/jobs: states, lists, cancelling."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from fake_comfyui import DemoServer
from tests.conftest import wait_until
from tests.fake_comfyui.demo_client import Client, picture, txt2img


async def test_jobs(
    demo: DemoServer, client: Client, http: httpx.AsyncClient, recorded: dict[str, Any]
) -> None:
    demo.knobs.step_seconds = 0.01
    shapes = recorded["keys"]["jobs"]
    running = await client.prompts.post(txt2img(steps=200))
    await client.read_until("progress 5 1")
    pending, doomed = [await client.prompts.post(picture(colour)) for colour in (1, 2)]

    async def job(prompt_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await http.get(f"/api/jobs/{prompt_id}")).json()
        return found

    for prompt_id, status in ((running, "in_progress"), (pending, "pending")):
        assert (await job(prompt_id))["status"] == status
        assert sorted(await job(prompt_id)) == shapes[status]
    for expected in (True, False):
        response = await http.post(f"/api/jobs/{doomed}/cancel")
        assert response.json() == {"cancelled": expected}
    assert await job(doomed) == {"error": "Job not found"}
    assert (await http.post(f"/api/jobs/{running}/cancel")).json() == {"cancelled": True}
    await client.prompts.ended(pending)
    failing = picture()
    failing["2"]["inputs"]["image"] = "x"
    failed = await client.prompts.post(failing)
    await client.prompts.ended(failed)
    for prompt_id, status in ((running, "cancelled"), (pending, "completed"), (failed, "failed")):
        assert (await job(prompt_id))["status"] == status
        assert sorted(await job(prompt_id)) == shapes[status]
    listed = (await http.get("/api/jobs?limit=2&sort_order=asc")).json()
    assert [entry["id"] for entry in listed["jobs"]] == [running, pending]
    assert listed["pagination"] == {"offset": 0, "limit": 2, "total": 3, "has_more": True}
    for query in ("limit=0", "limit=x", "offset=x", "status=success", "sort_by=x"):
        assert (await http.get(f"/api/jobs?{query}")).status_code == 400, query


@pytest.mark.parametrize(
    ("text", "shown"),
    [("hello", {"content": "hello"}), ("x" * 1025, {"content": "x" * 1024, "truncated": True})],
)
async def test_a_text_is_previewed_if_that_is_all(
    text: str, shown: dict[str, Any], client: Client, http: httpx.AsyncClient
) -> None:
    graph = {
        "1": {"class_type": "PrimitiveString", "inputs": {"value": text}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    job = (await http.get(f"/api/jobs/{await client.run(graph)}")).json()
    assert job["preview_output"] == {**shown, "nodeId": "2", "mediaType": "text"}
    assert job["outputs_count"] == 0
    both = {**picture(), "8": graph["1"]}
    both["9"] = {"class_type": "PreviewAny", "inputs": {"source": ["8", 0]}}
    job = (await http.get(f"/api/jobs/{await client.run(both)}")).json()
    assert job["preview_output"]["mediaType"] == "images"


async def test_cancelling_several_jobs(
    demo: DemoServer, client: Client, http: httpx.AsyncClient
) -> None:
    demo.knobs.stall = True
    ids = [await client.prompts.post(picture(colour)) for colour in range(3)]
    await client.read_until("execution_cached")

    async def cancel(body: Any) -> httpx.Response:
        return await http.post("/api/jobs/cancel", json=body)

    assert (await cancel({"job_ids": [*ids, "nope"]})).json()["invalid_ids"] == ["nope"]
    assert (await cancel({"job_ids": "x"})).status_code == 400
    assert (await cancel({"job_ids": []})).json() == {"cancelled": False}
    assert (await cancel({"job_ids": [str(uuid4())]})).json() == {"cancelled": False}
    assert (await cancel({"job_ids": ids})).json() == {"cancelled": True}
    demo.knobs.stall = False
    await wait_until(lambda: [demo.records.executed[ids[0]].ended] == ["interrupted"])
    assert list(demo.records.executed) == ids[:1]
