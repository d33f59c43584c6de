"""UUIDs are the same in upper and lower case: wherever an id comes in, it finds what it names."""

import json
from typing import Any
from uuid import uuid4

import pytest
from websockets.asyncio.client import connect

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, wait_until

Json = dict[str, Any]
SUBMIT = "/api/workflow/submit"
IDS = ("task_id", "prompt_id", "batch_id", "id")


async def made(gateway: RunningGateway) -> Json:
    """Ids of a task that was submitted with one in upper case, of its batch (another one), and of
    an asset, all in upper case."""
    wanted = str(uuid4()).upper()
    await gateway.submit(model_free(), prompt_id=wanted)
    batch = await gateway.submit(model_free(), batch={"1.color": [1, 2]})
    form = {"content_type": "image/png", "file_path": "a.png"}
    name = (await gateway.task(wanted.lower()))["outputs"][0]["filename"]
    picture = (await gateway.http.get(f"/api/image/{name}")).content
    answer = await gateway.http.post("/api/v2/assets", data=form, files={"file": picture})
    task = {"task_id": wanted, "prompt_id": wanted, "jobs": wanted}
    return {**task, "batch_id": batch["batch_id"].upper(), "assets": answer.json()["id"].upper()}


def paths(openapi: Json, ids: Json) -> list[tuple[str, str]]:
    """Methods and paths of all routes that name one thing by its id, deletes last."""
    found = []
    for path, methods in openapi["paths"].items():
        names = [name for name in IDS if f"{{{name}}}" in path]
        for name in names:
            id = ids[path.split("/")[3] if name == "id" else name]
            found += [(method, path.replace(f"{{{name}}}", id)) for method in methods]
    return sorted(found, key=lambda one: ("get", "post", "delete").index(one[0]))


async def test_every_route_finds_it(gateway: RunningGateway) -> None:
    ids = await made(gateway)
    openapi = (await gateway.http.get("/openapi.json")).json()
    asked = paths(openapi, ids)
    assert len(asked) > 15
    for method, path in asked:
        answer = await gateway.http.request(method, path)
        assert answer.status_code < 300, (method, path, answer.text)


async def test_every_query_and_body_finds_it(gateway: RunningGateway) -> None:
    ids = await made(gateway)
    task_id, http = ids["task_id"], gateway.http
    found = (await http.get("/api/tasks", params={"batch_id": ids["batch_id"]})).json()
    assert len(found["tasks"]) == 2
    found = (await http.get("/api/tasks", params={"q": task_id[:20]})).json()
    assert [task["task_id"] for task in found["tasks"]] == [task_id.lower()]
    name = (await gateway.task(task_id.lower()))["outputs"][0]["filename"]
    url = f"/api/image/{name}?task_id={task_id}"
    assert (await http.get(url)).status_code == 200
    reference = {"__type": "core/ASSET", "info": {"id": ids["assets"]}}
    asset = f"/api/v2/assets/{ids['assets']}/content"
    for value in ({"task_id": task_id, "filename": name}, url, asset, reference):
        graph = model_free()
        graph["1"] = {"class_type": "LoadImage", "inputs": {"image": value}}
        if value is reference:
            answer = await http.post("/api/v2/jobs", json={"workflow": graph})
            assert answer.status_code == 201, answer.text
            await gateway.until(answer.json()["id"], "succeeded")
        else:
            assert (await gateway.submit(graph))["status"] == "succeeded"
    answer = await http.post("/api/history/delete", json={"task_ids": [task_id]})
    assert answer.json() == {"deleted": [task_id.lower()], "count": 1}


@pytest.mark.parametrize("change", [str.upper, str.title])
async def test_a_stream_follows_it(gateway: RunningGateway, demo: DemoServer, change: Any) -> None:
    demo.knobs.stall = True
    task_id = str(uuid4())
    await gateway.submit(model_free(), wait=0, prompt_id=task_id)
    await gateway.until(task_id, "running")
    async with connect(f"ws://{gateway.address}/ws") as socket:

        async def ask(kind: str) -> None:
            await socket.send(json.dumps({"type": kind, "task_ids": [change(task_id)]}))

        async def heard(kind: str) -> Json:
            async def next_one() -> Json | None:
                message = json.loads(await socket.recv())
                return message if message["type"] == kind else None

            return await wait_until(next_one)

        await ask("subscribe")
        assert (await heard("subscribed"))["task_ids"] == [task_id]
        assert (await heard("task_update"))["status"] == "running"
        answer = await gateway.http.post(f"/api/interrupt/{change(task_id)}")
        assert (answer.status_code, answer.json()["task_id"]) == (200, task_id)
        while (await heard("task_update")).get("status") == "running":
            pass
        await ask("unsubscribe")
        assert (await heard("subscribed"))["task_ids"] == []
