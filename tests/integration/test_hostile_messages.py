"""WebSocket messages and forms cost what they should, whoever sends them."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import websockets

from app.api.middleware import body_limits
from app.api.websocket_session import BURST, PER_SECOND, SendRate
from app.limits.worker_threads import working_for
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, run_gateway, wait_until
from tests.keyholders import Guarded, guarded

pytestmark = pytest.mark.slow

Json = dict[str, Any]
SETTINGS = Callable[..., Settings]


@asynccontextmanager
async def socket_of(gate: Guarded, name: str) -> AsyncIterator[websockets.ClientConnection]:
    headers = {"X-API-Key": gate.texts[name]}
    async with websockets.connect(f"ws://{gate.address}/ws", additional_headers=headers) as socket:
        yield socket


async def said(socket: websockets.ClientConnection, message: Json) -> Json:
    await socket.send(json.dumps(message))
    return dict(json.loads(await socket.recv()))


async def test_messages_count_in_the_rate_of_their_key(
    settings_for: SETTINGS, tmp_path: Path, demo: DemoServer
) -> None:
    keys: Json = {"slow": {"scope": "read", "rate": "5/day"}, "free": "read"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        async with socket_of(gate, "slow") as socket:  # the first of five
            for _ in range(4):
                assert await said(socket, {"type": "ping"}) == {"type": "pong"}
            for message in ({"type": "ping"}, {"type": "subscribe", "task_ids": ["x"]}, {"a": 1}):
                refused = await said(socket, message)
                assert (refused["type"], refused["code"]) == ("error", "rate_limited")
                assert refused["retry_after"] > 60
        answer = await (await gate.client("slow")).get("/api/tasks")
        assert answer.status_code == 429
        async with socket_of(gate, "free") as socket:
            assert await said(socket, {"type": "ping"}) == {"type": "pong"}


async def test_many_ids_are_one_question_to_the_database(
    settings_for: SETTINGS, tmp_path: Path, demo: DemoServer
) -> None:
    async with guarded(settings_for, tmp_path, demo, keys={"mine": "run", "other": "run"}) as gate:
        tasks = {}
        for name in ("mine", "other"):
            client = await gate.client(name)
            answer = await client.post("/api/workflow/submit?wait=60", json=model_free())
            tasks[name] = answer.json()["task_id"]
        database: Any = gate.gateway.tasks._store._database
        reads, read = [], database.read

        async def counted(work: Any, **options: Any) -> Any:
            reads.append(work)
            return await read(work, **options)

        database.read = counted
        ids = [*tasks.values(), *(f"x{n}" for n in range(900))]
        async with socket_of(gate, "mine") as socket:
            confirmed = await said(socket, {"type": "subscribe", "task_ids": ids})
            assert confirmed["type"] == "subscribed"
            before = len(reads)
            found = [json.loads(await socket.recv()) for _ in ids]
        assert len(reads) - before <= 3
        assert [one["task_id"] for one in found] == ids
        assert [one["task_id"] for one in found if one["type"] == "task_update"] == [tasks["mine"]]
        assert {one.get("code") for one in found[1:]} == {"task_not_found"}


async def test_a_message_of_many_values_is_not_parsed(gateway: RunningGateway) -> None:
    async with websockets.connect(f"ws://{gateway.address}/ws") as socket:
        await socket.send("[" + "[]," * 80_000 + "[]]")
        assert json.loads(await socket.recv())["code"] == "invalid_message"


def test_a_connection_has_a_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("app.api.websocket_session.time.monotonic", lambda: now)
    pace = SendRate()
    assert [pace.delay(1) for _ in range(BURST)] == [0.0] * BURST
    assert pace.delay(PER_SECOND) == 1.0
    now += 2.0
    assert pace.delay(PER_SECOND) == 0.0
    now += 3600
    assert pace.delay(BURST) == 0.0
    assert pace.delay(1) > 0


def form(*parts: tuple[str, bytes]) -> Json:
    content = b"".join(
        b'--b\r\nContent-Disposition: form-data; name="%s\r\n\r\n%s\r\n' % (head.encode(), value)
        for head, value in parts
    )
    kind = "multipart/form-data; boundary=b"
    return {"content": content + b"--b--\r\n", "headers": {"Content-Type": kind}}


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (form(*[('workflow"', b"x" * 30_000)] * 9), 413, "payload_too_large"),
        (form(*[('x"', b"1")] * 101), 400, "bad_request"),
        (form(*[('file"; filename="x"', b"1")] * 101), 400, "bad_request"),
        (form(('x"\r\n' + "h: 1\r\n" * 50, b"1")), 400, "bad_request"),
        (form(('file"; filename="x"', b"[" + b"[]," * 60_000 + b"[]]")), 422, "workflow_format"),
        (
            {
                "content": b"a&" * 20_000,
                "headers": {"Content-Type": "application/x-www-form-urlencoded"},
            },
            422,
            "invalid_input",
        ),
        ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "bad_request"),
    ],
)
@pytest.mark.parametrize("path", ["/api/workflow/upload", "/api/workflow/submit"])
async def test_forms_have_bounds(
    path: str, sent: Json, status: int, code: str, settings_for: SETTINGS, demo: DemoServer
) -> None:
    if path.endswith("submit") and status == 422:
        return  # it takes other parts
    async with run_gateway(settings_for(demo.address, max_body_bytes=200_000)) as gateway:
        answer = await gateway.http.post(path, **sent)
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_large_bodies_wait_for_room(
    settings_for: SETTINGS, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body_limits, "CLIENT_TIMEOUT_SECONDS", 1)
    settings = settings_for(demo.address, max_body_bytes=100_000)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        room, large = gateway.gateway.room, json.dumps(model_free()).ljust(50_000).encode()
        with working_for("address 127.0.0.1"):
            held = await room.take(200_000, 1)
        refused = await gateway.http.post("/api/workflow/convert", content=large)
        assert (refused.status_code, refused.json()["code"]) == (503, "too_many_bodies")
        assert refused.headers["Retry-After"] == "5"
        assert (await gateway.http.post("/api/workflow/convert", json=model_free())).is_success
        waiting = asyncio.create_task(gateway.http.post("/api/workflow/convert", content=large))
        await wait_until(lambda: room._waiting)
        held()
        assert (await waiting).status_code == 200
        await wait_until(lambda: not room._taken)


async def test_who_waits_for_a_task_holds_no_room(settings_for: SETTINGS) -> None:
    async with run_gateway(settings_for("127.0.0.1:9")) as gateway:
        text = {"class_type": "PrimitiveString", "inputs": {"value": "x" * 100_000}}
        body = {"workflow": {**model_free(), "9": text}}
        waiting = asyncio.create_task(gateway.http.post("/api/workflow/submit?wait=60", json=body))
        room = gateway.gateway.room
        await wait_until(lambda: gateway.gateway.hub.subscribers)  # it is queued, and waited for
        assert not room._taken
        assert not waiting.done()
        task = (await gateway.http.get("/api/tasks")).json()["tasks"][0]
        await gateway.http.post(f"/api/task/{task['task_id']}/cancel")
        assert (await waiting).json()["status"] == "canceled"
