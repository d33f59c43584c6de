"""Clients that are too many, too slow or too much: each over a real socket."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api import websocket_session
from app.api.middleware import body_limits
from app.events import hub, subscription
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, run_gateway, wait_until
from tests.hubs import tell
from tests.keyholders import guarded

Json = dict[str, Any]

PATIENCE = 0.8
GET = b"GET /api/health HTTP/1.1\r\nHost: localhost\r\n"
POST = (
    b"POST /api/workflow/submit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
)


@pytest.fixture
async def strict(
    demo: DemoServer, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[RunningGateway]:
    """A gateway with little patience and few places."""
    monkeypatch.setattr(body_limits, "CLIENT_TIMEOUT_SECONDS", PATIENCE)
    monkeypatch.setattr("app.gateway.MAX_STREAMS", 3)
    async with run_gateway(settings_for(demo.address, max_connections=8)) as running:
        await running.online()
        yield running


class Raw:
    """A client that sends what it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def trickle(self, pace: float, endless: bytes = b"x") -> None:
        """A byte now and then, until the other side has had enough."""
        try:
            while True:
                self.writer.write(endless)
                await self.writer.drain()
                await asyncio.sleep(pace)
        except OSError:
            pass

    async def rest(self) -> bytes:
        """All that comes until the connection is closed."""
        found = b""
        try:
            async with asyncio.timeout(WAIT):
                while part := await self.reader.read(65536):
                    found += part
        except ConnectionError:
            pass
        return found


Dial = Callable[[], Awaitable[Raw]]


@pytest.fixture
async def dial(strict: RunningGateway) -> AsyncIterator[Dial]:
    """Connects raw clients to the strict gateway."""
    clients: list[Raw] = []

    async def connected() -> Raw:
        host, port = strict.address.split(":")
        clients.append(Raw(*await asyncio.open_connection(host, int(port))))
        return clients[-1]

    yield connected
    for client in clients:
        client.writer.close()
        with contextlib.suppress(ConnectionError):
            await client.writer.wait_closed()


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


async def slowly(dial: Dial, begin: bytes) -> bytes:
    """What is answered to a request that goes on byte by byte, for ever."""
    client = await dial()
    client.writer.write(begin)
    trickling = asyncio.create_task(client.trickle(PATIENCE / 10))
    answer = await client.rest()
    trickling.cancel()
    return answer


@pytest.mark.parametrize(
    "begin",
    [b"", b"GET /api/hea", GET, GET + b"X-Slow: ", POST + b"Content-Length: 100000\r\n\r\n{"],
    ids=["nothing", "in the url", "between headers", "in a header", "in the body"],
)
async def test_a_request_that_never_ends(strict: RunningGateway, dial: Dial, begin: bytes) -> None:
    answer = await slowly(dial, begin)
    assert status_of(answer) == (400 if begin == b"" else 408), answer
    assert (await strict.http.get("/api/health")).status_code == 200


async def test_a_connection_that_says_nothing_is_closed(strict: RunningGateway, dial: Dial) -> None:
    client = await dial()
    assert status_of(await client.rest()) == 408


async def test_a_slow_upload_that_goes_on_is_taken(strict: RunningGateway) -> None:
    body = json.dumps({"workflow": model_free(), "metadata": {"x": "y" * 60_000}}).encode()

    async def parts() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]
            await asyncio.sleep(PATIENCE / 4)

    headers = {"content-type": "application/json"}
    answer = await strict.http.post("/api/workflow/submit", content=parts(), headers=headers)
    assert answer.status_code == 202, answer.text


async def test_a_reader_that_never_reads_is_let_go(strict: RunningGateway, dial: Dial) -> None:
    await strict.http.post("/api/image/upload", files={"image": ("large.bin", b"x" * 30_000_000)})
    client = await dial()
    client.writer.write(b"GET /api/image/large.bin?type=input HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await client.writer.drain()
    connections = strict.connections
    # Its buffer may be empty for a moment, too, while the system still takes what is sent.
    (its,) = await wait_until(
        lambda: [c for c in connections if c.transport.get_write_buffer_size()]
    )
    await wait_until(lambda: its not in connections)
    assert len(await client.rest()) < 30_000_000


async def test_a_slow_reader_that_reads_gets_all(strict: RunningGateway, dial: Dial) -> None:
    await strict.http.post("/api/image/upload", files={"image": ("large.bin", b"x" * 4_000_000)})
    client = await dial()
    client.writer.write(b"GET /api/image/large.bin?type=input HTTP/1.1\r\nHost: localhost\r\n")
    client.writer.write(b"Connection: close\r\n\r\n")
    received = 0
    while part := await client.reader.read(1 << 20):
        received += len(part)
        await asyncio.sleep(PATIENCE / 4)
    assert received > 4_000_000


async def test_a_websocket_that_never_reads_holds_nothing(
    strict: RunningGateway, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscription, "QUEUE_BYTES", 1_000_000)
    client = await dial()
    client.writer.write(
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    await client.reader.readuntil(b"\r\n\r\n")
    fanout = strict.gateway.hub
    await wait_until(lambda: fanout.subscribers == 1)

    async def gone() -> bool:
        for _ in range(20):
            tell(fanout, "t", "output", {"text": "x" * 100_000})
        await asyncio.sleep(0)
        return fanout.subscribers == 0

    await wait_until(gone)
    assert fanout.dropped == 1
    client.writer.close()


async def test_too_many_connections(strict: RunningGateway, dial: Dial) -> None:
    clients = [await dial() for _ in range(8)]
    for client in clients:
        client.writer.write(GET)
    one_more = await dial()
    one_more.writer.write(GET + b"\r\n")
    answer = await one_more.rest()
    assert status_of(answer) == 503
    assert b'"code": "too_many_connections"' in answer
    assert b"retry-after: 5" in answer
    for client in clients:
        client.writer.close()

    async def answers() -> bool:
        return (await strict.http.get("/api/health")).status_code == 200

    await wait_until(answers)


async def test_connections_that_wait_for_requests_give_way(
    strict: RunningGateway, dial: Dial
) -> None:
    """A pool keeps as many as it likes, and as long, and nobody is locked out by that."""
    loop = asyncio.get_running_loop()

    def is_kept() -> bool:
        timers = [each.timeout_keep_alive_task for each in strict.connections]
        return all(timer and timer.when() - loop.time() > 120 for timer in timers)

    for _ in range(3 * 8):
        client = await dial()
        client.writer.write(GET + b"\r\n")
        assert status_of(await client.reader.readline()) == 200
        await wait_until(is_kept)
    assert len(strict.connections) == 8


async def test_too_many_streams_leave_room_for_requests(strict: RunningGateway) -> None:
    url = f"ws://{strict.address}/ws"
    async with connect(url), connect(url), connect(url):
        with pytest.raises(InvalidStatus) as refused:
            await connect(url)
        assert refused.value.response.status_code == 503
        assert json.loads(refused.value.response.body)["code"] == "too_many_connections"
        task = await strict.submit(model_free())
        assert task["status"] == "succeeded"
        stream = await strict.http.get(f"/api/task/{task['task_id']}/events")
        assert stream.status_code == 503
        assert stream.headers["retry-after"] == "5"


async def test_one_keys_streams_leave_room_for_anothers(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.gateway.MAX_STREAMS", 4)
    keys: dict[str, str | Json] = {"hog": "read", "other": "read"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        url = f"ws://{gate.address}/ws"
        headers = {name: {"Authorization": f"Bearer {gate.texts[name]}"} for name in keys}
        hog, other = headers["hog"], headers["other"]
        async with connect(url, additional_headers=hog), connect(url, additional_headers=hog):
            with pytest.raises(InvalidStatus) as refused:
                await connect(url, additional_headers=hog)
            assert refused.value.response.status_code == 503
            assert "hog" in json.loads(refused.value.response.body)["detail"]
            async with connect(url, additional_headers=other):
                pass


async def test_heads_that_are_too_large(strict: RunningGateway) -> None:
    for headers, url in [
        ({"x-large": "y" * 70_000}, "/api/health"),
        ({f"x-{number}": "y" * 700 for number in range(100)}, "/api/health"),
        ({"x-large": "y" * 10_000}, "/api/tasks?cursor=" + "1" * 60_000),
    ]:
        answer = await strict.http.get(url, headers=headers)
        assert answer.status_code == 431
        assert answer.json()["code"] == "headers_too_large"


async def test_a_head_that_never_ends_is_cut_off(strict: RunningGateway, dial: Dial) -> None:
    client = await dial()
    client.writer.write(GET)
    endless = asyncio.create_task(client.trickle(0, b"X-More: " + b"y" * 8000 + b"\r\n"))
    assert status_of(await client.rest()) == 431
    endless.cancel()


async def test_a_websocket_with_too_many_headers(strict: RunningGateway) -> None:
    headers = {f"x-{number}": "y" for number in range(200)}
    with pytest.raises(InvalidStatus) as refused:
        await connect(f"ws://{strict.address}/ws", additional_headers=headers)
    assert refused.value.response.status_code == 431


MESSAGES = (
    "[" * 100_000,
    '{"a":' * 50_000,
    "\ufeff{}",
    '{"type": "subscribe", "task_ids": ["\\ud800"]}',
    '{"type": "subscribe", "task_ids": ["' + "x" * 101 + '"]}',
    '{"type": "subscribe", "task_ids": [' + ",".join('"x"' for _ in range(1001)) + "]}",
    '{"type": "subscribe", "task_ids": ["\\u0000"]}',
    '{"type": NaN}',
    '{"type": ' + "9" * 5000 + "}",
    '{"type": {"type": "ping"}}',
)


async def test_messages_that_make_no_sense(gateway: RunningGateway) -> None:
    async with connect(f"ws://{gateway.address}/ws") as socket:
        for message in MESSAGES:
            await socket.send(message)
            assert json.loads(await socket.recv())["type"] == "error", message[:50]
        await socket.send('{"type": "subscribe", "task_ids": ["nope"]}')
        assert json.loads(await socket.recv())["type"] == "subscribed"
        assert json.loads(await socket.recv())["code"] == "task_not_found"


async def test_a_message_that_is_too_large(gateway: RunningGateway) -> None:
    async with connect(f"ws://{gateway.address}/ws") as socket:
        await socket.send(" " * (1 << 19))
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_following_too_many_tasks(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket_session, "MOST_TASKS", 1500)
    async with connect(f"ws://{gateway.address}/ws") as socket:
        for block in range(2):
            ids = [f"{block}-{number}" for number in range(1000)]
            await socket.send(json.dumps({"type": "subscribe", "task_ids": ids}))
        said: Any = {}
        while said.get("code") != "invalid_message":
            said = json.loads(await socket.recv())
        assert "unsubscribe first" in said["message"]


FORMS = {
    "parts": b"--b"
    + b'\r\nContent-Disposition: form-data; name="p"\r\n\r\nx\r\n--b' * 300
    + b"--\r\n",
    "a header": b"--b\r\nX: " + b"y" * 300_000 + b"\r\n\r\nx\r\n--b--\r\n",
    "headers": b"--b\r\n" + b"X: y\r\n" * 20_000 + b"\r\nx\r\n--b--\r\n",
    "no header": b"--b\r\nno header\r\n\r\nx",
    "empty": b"",
}
TAKE_FORMS = (
    "/api/workflow/submit",
    "/api/image/upload",
    "/api/workflow/upload",
    "/api/v2/assets",
)


async def test_forms_that_are_too_much(gateway: RunningGateway) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for path, (name, body) in product(TAKE_FORMS, FORMS.items()):
        answer = await gateway.http.post(path, content=body, headers=headers)
        assert answer.status_code in (400, 413, 422), (path, name, answer.text)
        assert set(answer.json()) >= {"error" if "/v2/" in path else "detail"}


def test_a_subscription_is_bounded_in_bytes() -> None:
    fanout = hub.Hub()
    with fanout.subscribe(previews=True) as slow:
        for number in range(200):
            tell(fanout, str(number), "preview", {}, b"x" * 1_000_000)
        assert not slow.ended  # the oldest previews went
        assert slow._bytes <= subscription.QUEUE_BYTES
        for _ in range(200):
            tell(fanout, "t", "status", {"text": "x" * 1_000_000})
        assert slow.ended
        assert not slow._waiting
    assert sum(update.size for kept in fanout._recent.values() for update in kept) <= hub.KEPT_BYTES


async def test_a_client_that_goes_away_in_its_body(
    strict: RunningGateway, dial: Dial, caplog: pytest.LogCaptureFixture
) -> None:
    client = await dial()
    client.writer.write(POST + b"Content-Length: 1000\r\n\r\n{")
    await client.writer.drain()
    client.writer.close()
    await client.writer.wait_closed()
    await wait_until(lambda: not strict.connections)
    assert "Traceback" not in caplog.text
