"""SSE and the WebSocket: what they show, a poll shows, too."""

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn
from httpx import AsyncClient
from websockets.asyncio.client import ClientConnection, connect

from app.comfyui.events import Progress
from app.main import create_app
from app.services.tasks import TaskService
from app.settings import Settings
from app.tasks.model import Task
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, text_to_image, wait_until
from tests.hubs import tell

Json = dict[str, Any]
ENDS = ("succeeded", "failed", "canceled")


async def sse(http: AsyncClient, url: str, last_id: str | None = None) -> AsyncIterator[Json]:
    """Events of a stream as {"id", "event", "data"}."""
    headers = {"last-event-id": last_id} if last_id else {}
    async with http.stream("GET", url, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        event: Json = {}
        async for line in answer.aiter_lines():
            if not line:
                if "event" in event:
                    yield {**event, "data": json.loads(event["data"])}
                event = {}
            elif not line.startswith(":"):
                key, _, value = line.partition(": ")
                event[key] = value


async def test_sse_tells_the_whole_story(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.03
    task = await gateway.submit(text_to_image(steps=6), wait=0)
    url = f"/api/task/{task['task_id']}/events"
    events = [event async for event in sse(gateway.http, url)]
    kinds = {event["event"] for event in events}
    assert kinds == {"status", "progress", "preview", "output"}
    ids = [int(event["id"]) for event in events]
    assert ids == sorted(ids)
    values = [e["data"]["progress"]["value"] for e in events if e["event"] == "progress"]
    assert values == sorted(values)
    statuses = [e["data"]["status"] for e in events if e["event"] == "status"]
    assert statuses[-1] == "succeeded"
    assert "running" in statuses
    preview = next(e["data"] for e in events if e["event"] == "preview")
    assert preview["content_type"] == "image/jpeg"
    assert preview["data_base64"]
    assert events[-1]["data"] == await gateway.task(task["task_id"])


async def test_sse_of_a_finished_task_ends_at_once(gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free())
    events = [e async for e in sse(gateway.http, f"/api/task/{task['task_id']}/events")]
    assert [event["data"]["status"] for event in events] == ["succeeded"]


async def test_sse_of_a_task_that_is_deleted_as_it_begins(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer has begun: it ends like every stream, and is not broken off."""
    task = await gateway.submit(model_free())
    look = TaskService.get

    async def get(tasks: TaskService, task_id: str) -> Task:
        found = await look(tasks, task_id)
        monkeypatch.setattr(TaskService, "get", look)
        await tasks.delete([task_id])
        return found

    monkeypatch.setattr(TaskService, "get", get)
    assert [e async for e in sse(gateway.http, f"/api/task/{task['task_id']}/events")] == []


async def test_sse_resumes_after_the_last_id(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.02
    task = await gateway.submit(text_to_image(steps=5), wait=0)
    url = f"/api/task/{task['task_id']}/events?previews=false"
    whole = [event async for event in sse(gateway.http, url)]
    assert not [event for event in whole if event["event"] == "preview"]
    middle = next(e for e in whole if e["event"] == "progress")
    rest = [event async for event in sse(gateway.http, url, middle["id"])]
    assert all(int(event["id"]) >= int(middle["id"]) for event in rest)
    assert [e["data"] for e in rest if e["event"] == "output"] == [
        e["data"] for e in whole if e["event"] == "output"
    ]
    assert rest[-1]["data"]["status"] == "succeeded"


async def receive_until(socket: ClientConnection, end: Any) -> list[Json | bytes]:
    found: list[Json | bytes] = []
    async with asyncio.timeout(WAIT):
        while True:
            frame = await socket.recv()
            message = frame if isinstance(frame, bytes) else json.loads(frame)
            found.append(message)
            if isinstance(message, dict) and end(message):
                return found


def ends(task_id: str) -> Any:
    return lambda m: m.get("task_id") == task_id and m.get("status") in ENDS


async def test_ws_shows_every_task(gateway: RunningGateway) -> None:
    async with connect(f"ws://{gateway.address}/ws") as socket:
        tasks = [await gateway.submit(model_free(color), wait=0) for color in range(3)]
        ended = set()
        while len(ended) < 3:
            messages = await receive_until(socket, lambda m: m.get("status") in ENDS)
            assert all(isinstance(m, dict) and m["type"] == "task_update" for m in messages)
            last = messages[-1]
            assert isinstance(last, dict)
            ended.add(last["task_id"])
            polled = await gateway.task(last["task_id"])
            assert {key: last[key] for key in polled} == polled
        assert ended == {task["task_id"] for task in tasks}


async def test_ws_under_another_server(
    settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    """uvicorn as people start it themselves has no `Socket` of ours."""
    app = create_app(settings_for(demo.address))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    server.capture_signals = contextlib.nullcontext  # type: ignore[method-assign]
    serving = asyncio.create_task(server.serve())
    await wait_until(lambda: server.started)
    address = f"127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    http = AsyncClient(base_url=f"http://{address}")
    async with http, connect(f"ws://{address}/ws") as socket:
        await socket.send('{"type": "subscribe", "previews": true}')
        answer = await http.post("/api/workflow/submit", json=text_to_image(steps=3))
        seen = await receive_until(socket, ends(answer.json()["task_id"]))
    assert any(isinstance(message, bytes) for message in seen)
    server.should_exit = True
    await serving


async def test_ws_gets_all_in_order_however_slowly_it_reads(gateway: RunningGateway) -> None:
    hub = gateway.gateway.hub
    async with connect(f"ws://{gateway.address}/ws", max_queue=1) as socket:
        await wait_until(lambda: hub.subscribers)
        for number in range(900):
            tell(hub, "a", "output", {"n": number, "padding": "x" * 10_000})
        assert next(iter(hub._subscriptions)).peek(), "more than a connection takes"
        for number in range(900):
            async with asyncio.timeout(WAIT):
                assert json.loads(await socket.recv())["output"]["n"] == number


async def test_events_that_come_together_are_told_once(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.stall = True
    task_id = (await gateway.submit(text_to_image(steps=20), wait=0))["task_id"]
    await wait_until(lambda: _is_running(gateway, task_id))
    server, hub = next(iter(gateway.gateway.pool)), gateway.gateway.hub
    inbox = server._events._inboxes[task_id]
    await wait_until(inbox.empty)
    with hub.subscribe([task_id]) as updates:
        told = hub.since(task_id, 0)
        for step in range(1, 11):
            inbox.offer(Progress(task_id, "3", step, 20))
        assert (await updates.get()).data["progress"]["step"] == 10
        assert len(hub.since(task_id, 0)) == len(told) + 1


async def _is_running(gateway: RunningGateway, task_id: str) -> bool:
    return bool((await gateway.task(task_id))["status"] == "running")


async def test_ws_subscription_narrows(gateway: RunningGateway) -> None:
    async with connect(f"ws://{gateway.address}/ws") as socket:
        wanted = await gateway.submit(model_free(1), wait=60)
        await receive_until(socket, ends(wanted["task_id"]))
        await socket.send(json.dumps({"type": "subscribe", "task_ids": [wanted["task_id"]]}))
        confirmed = await receive_until(socket, ends(wanted["task_id"]))
        assert confirmed[0] == {"type": "subscribed", "task_ids": [wanted["task_id"]]}
        other = await gateway.submit(model_free(2))
        await socket.send('{"type": "ping"}')
        assert await receive_until(socket, lambda m: True) == [{"type": "pong"}]
        await socket.send('{"type": "unsubscribe"}')
        third = await gateway.submit(model_free(3), wait=0)
        seen = await receive_until(socket, ends(third["task_id"]))
        assert other["task_id"] not in {m.get("task_id") for m in seen if isinstance(m, dict)}


async def test_ws_previews_only_when_asked_for(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.02
    async with connect(f"ws://{gateway.address}/ws") as socket:
        task = await gateway.submit(text_to_image(steps=3, seed=1), wait=0)
        messages = await receive_until(socket, ends(task["task_id"]))
        assert not [message for message in messages if isinstance(message, bytes)]
        await socket.send('{"type": "subscribe", "previews": true}')
        task = await gateway.submit(text_to_image(steps=3, seed=2), wait=0)
        messages = await receive_until(socket, ends(task["task_id"]))
    frames = [message for message in messages if isinstance(message, bytes)]
    assert frames
    kind, length = struct.unpack(">II", frames[0][:8])
    header = json.loads(frames[0][8 : 8 + length])
    assert kind == 4
    assert (header["task_id"], header["node_id"]) == (task["task_id"], "3")
    assert frames[0][8 + length :].startswith(b"\xff\xd8\xff")


@pytest.mark.parametrize(
    "text",
    ["", "junk", "[]", "{}", '{"type": []}', '{"type": "subscribe", "task_ids": "x"}', "[" * 9999],
)
async def test_ws_bad_messages_are_answered(gateway: RunningGateway, text: str) -> None:
    async with connect(f"ws://{gateway.address}/ws") as socket:
        await socket.send(text)
        (answer,) = await receive_until(socket, lambda m: True)
        assert isinstance(answer, dict)
        assert (answer["type"], answer["code"]) == ("error", "invalid_message")
        await socket.send('{"type": "subscribe", "task_ids": ["nope"]}')
        messages = await receive_until(socket, lambda m: m["type"] == "error")
        assert messages[-1]["code"] == "task_not_found"  # type: ignore[index,call-overload]


async def test_live_progress_in_a_poll(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.1
    task = await gateway.submit(text_to_image(steps=10), wait=0)
    await gateway.until(task["task_id"], "running")
    async for event in sse(gateway.http, f"/api/task/{task['task_id']}/events?previews=false"):
        if event["event"] == "progress" and event["data"]["progress"]["step"] == 3:
            progress = (await gateway.task(task["task_id"]))["progress"]
            assert progress["step"] >= 3
            assert progress["steps"] == 10
            assert progress["class_type"] == "KSampler"
            assert 0 < progress["value"] < 1
            listed = (await gateway.http.get("/api/tasks")).json()["tasks"][0]["progress"]
            assert listed["step"] >= 3
            return
    raise AssertionError("no progress was seen")
