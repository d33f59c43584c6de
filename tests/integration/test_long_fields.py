"""Long values: whole where one task is asked for, cut in lists and streams, and read only there."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import func, select
from websockets.asyncio.client import connect

from app.db.engine.database import Database
from app.db.mapping import dump
from app.db.tables import outputs, tasks
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.databases import KINDS, database_url
from tests.integration.test_streams import sse

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"
LONG = "狐" * 300_000  # characters; 900 kB
MESSAGE, PAGE = 64_000, 1_000_000  # bytes: of a stream's message, of a list of 50


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_text() -> Json:
    graph = model_free()
    graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": "x"}}
    return graph


async def longest(database: Database, column: Any) -> int:
    query = select(func.max(func.length(column)))
    return await database.read(lambda connection: connection.scalar(query) or 0)


async def sizes_of_lists(gateway: RunningGateway) -> dict[str, int]:
    """Bytes for each task in it, but for what a list has besides."""
    found = {}
    for path in ("/api/tasks", "/api/queue", "/api/history", "/api/v2/jobs"):
        answer = await gateway.http.get(path)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        listed = sum(len(body.get(name, ())) for name in ("tasks", "running", "queued", "jobs"))
        found[path] = len(answer.content) // max(listed, 1)
    return found


async def test_a_long_parameter(
    kind: str, settings_for: MakeSettings, demo: DemoServer, tmp_path: Any
) -> None:
    params, cut = {"9.source": LONG, "1.color": 3}, {"params.9.source": len(LONG)}
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        headers = {"Idempotency-Key": "k"}
        body = {"workflow": with_text(), "params": params}
        async with connect(f"ws://{gateway.address}/ws", max_size=MESSAGE) as socket:
            answer = await gateway.http.post(f"{SUBMIT}?wait=60", json=body, headers=headers)
            assert answer.status_code == 200
            task = answer.json()
            assert (task["params"], "cut" in task) == (params, False)
            message: Json = {}
            while message.get("event") != "status" or message["status"] != "succeeded":
                message = json.loads(await socket.recv())
            assert message["cut"].items() >= cut.items()
            assert message["params"] == {"9.source": LONG[:500] + "…", "1.color": 3}
        path = f"/api/task/{task['task_id']}"
        events = [e async for e in sse(gateway.http, f"{path}/events", "0")]
        assert all(len(dump(event)) < 2 * MESSAGE for event in events)  # in ASCII
        again = await gateway.http.post(f"{SUBMIT}?wait=60", json=body, headers=headers)
        assert again.json() == task == (await gateway.http.get(path)).json()
        assert await longest(await gateway.database(), tasks.c.params) < 5_000
        retried = (await gateway.http.post(f"{path}/retry")).json()
        assert retried["params"] == params
        assert (await gateway.until(retried["task_id"], "succeeded"))["params"] == params
        listed = (await gateway.http.get("/api/tasks")).json()["tasks"]
        assert [item["cut"].items() >= cut.items() for item in listed] == [True, True]
        assert max((await sizes_of_lists(gateway)).values()) < PAGE / 50


async def test_a_long_text_result(
    kind: str, settings_for: MakeSettings, demo: DemoServer, tmp_path: Any
) -> None:
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        task = await gateway.submit(with_text())
        of_task = outputs.c.task_id == task["task_id"]
        change = outputs.update().where(of_task, outputs.c.text.is_not(None)).values(text=LONG)
        if not (await (await gateway.database()).write(lambda c: c.execute(change).rowcount)):
            pytest.fail("the stand-in made no text")
        (shown,) = (await gateway.http.get("/api/tasks")).json()["tasks"]
        result = next(output for output in shown["outputs"] if output["kind"] == "text")
        assert result["cut"] == {"text": len(LONG)}
        assert result["text"] == LONG[:1000] + "…"
        assert max((await sizes_of_lists(gateway)).values()) < PAGE / 50
        whole = await gateway.task(task["task_id"])
        assert any(output.get("text") == LONG for output in whole["outputs"])
        job = (await gateway.http.get(f"/api/v2/jobs/{task['task_id']}")).json()
        (listed,) = (await gateway.http.get("/api/v2/jobs")).json()["jobs"]
        for one, other in zip(listed["outputs"], job["outputs"], strict=True):
            assert (one["id"], one["hash"]) == (other["id"], other["hash"]), "of all of the text"


async def test_a_long_text_result_in_the_stream_of_v2(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.stall = True
    task = await gateway.submit(with_text(), wait=0, params={"9.source": LONG})
    url = f"/api/v2/jobs/{task['task_id']}"

    async def listen() -> list[Json]:
        return [event async for event in sse(gateway.http, f"{url}/events")]

    listening = asyncio.create_task(listen())
    await wait_until(lambda: task["task_id"] in gateway.gateway.hub.watched())
    demo.knobs.stall = False
    told = [event["data"] for event in await listening if event["event"] == "output"]
    job = (await gateway.http.get(url)).json()
    assert {output["id"] for output in told} == {output["id"] for output in job["outputs"]}
    assert {output["hash"] for output in told} == {output["hash"] for output in job["outputs"]}


async def test_long_fields_of_rows_of_before(
    kind: str, settings_for: MakeSettings, demo: DemoServer, tmp_path: Any
) -> None:
    """5 MB in each field by turns, as an older gateway may have written them."""
    text = "x" * 5_000_000
    fields = {
        "params": {"params": dump({"6.text": text})},
        "metadata": {"metadata": dump({"note": text})},
        "warnings": {"warnings": dump([text])},
        "error": {"error": dump({"code": "c", "message": text, "traceback": [text]})},
    }
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        task_id = (await gateway.submit(model_free()))["task_id"]
        before = select(*(tasks.c[name] for name in fields)).where(tasks.c.task_id == task_id)
        row = await (await gateway.database()).read(
            lambda c: dict(c.execute(before).mappings().one())
        )
        for field, values in fields.items():
            change = tasks.update().where(tasks.c.task_id == task_id).values({**row, **values})
            await (await gateway.database()).write(lambda c, change=change: c.execute(change))
            assert max((await sizes_of_lists(gateway)).values()) < PAGE / 50
            async with connect(f"ws://{gateway.address}/ws", max_size=MESSAGE) as socket:
                await socket.send(json.dumps({"type": "subscribe", "task_ids": [task_id]}))
                assert json.loads(await socket.recv())["type"] == "subscribed"
                state = json.loads(await socket.recv())
            assert any(name.startswith(field) for name in state["cut"])
            (event,) = [e async for e in sse(gateway.http, f"/api/task/{task_id}/events")]
            assert event["data"]["cut"] == state["cut"]
            assert text in (await gateway.http.get(f"/api/task/{task_id}")).text


async def test_a_batch_with_long_parameters(gateway: RunningGateway, demo: DemoServer) -> None:
    texts = [f"{number}" + "y" * 50_000 for number in range(20)]
    batch = await gateway.submit(with_text(), batch={"9.source": texts})
    assert len(json.dumps(batch)) < 20 * PAGE / 50
    for task, text in zip(batch["tasks"], texts, strict=True):
        assert task["cut"]["params.9.source"] == len(text)
        assert (await gateway.task(task["task_id"]))["params"] == {"9.source": text}
    answer = await gateway.http.get(f"/api/batch/{batch['batch_id']}")
    assert len(answer.content) < 20 * PAGE / 50
    assert sorted(p.graph["9"]["inputs"]["source"] for p in demo.records.prompts) == sorted(texts)
