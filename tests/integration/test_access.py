"""Keys over real sockets: streams, files, limits, revocation; pages of other origins."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from PIL import Image

from app.auth.model import AccessLevel, Caller
from app.auth.secrets import new_key
from app.db.engine.database import Database
from app.db.tasks import TaskRepository, TaskTable
from app.errors import InvalidInput, KeyQueueFull, QuotaExceeded
from app.settings import Settings
from app.tasks.model import NewTask
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, over, text_to_image, wait_until
from tests.keyholders import WRONG, Guarded, guarded, key_named, write_keys

Json = dict[str, Any]
SETTINGS = Callable[..., Settings]
ALICE_AND_BOB: Json = {"alice": "run", "bob": "run", "boss": "manage"}


@pytest.fixture
async def gate(settings_for: SETTINGS, tmp_path: Path, demo: DemoServer) -> AsyncIterator[Guarded]:
    async with guarded(settings_for, tmp_path, demo, keys=ALICE_AND_BOB) as found:
        yield found


def picture(color: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(file, "PNG")
    return file.getvalue()


def with_input(name: str) -> Json:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": name}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "x"}},
    }


async def submit(client: httpx.AsyncClient, workflow: Json | None = None, **more: Any) -> Json:
    body = {"workflow": workflow or model_free(), **more}
    answer = await client.post("/api/workflow/submit?wait=60", json=body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


# -- WebSockets ---------------------------------------------------------------------------------


def connect(gate: Guarded, **options: Any) -> websockets.connect:
    return websockets.connect(f"ws://{gate.address}/ws", **options)


@pytest.mark.parametrize("way", ["bearer", "x-api-key", "subprotocol"])
async def test_a_websocket_takes_the_key_in_each_way(gate: Guarded, way: str) -> None:
    key = gate.texts["alice"]
    options: Json = {
        "bearer": {"additional_headers": {"Authorization": f"Bearer {key}"}},
        "x-api-key": {"additional_headers": {"X-API-Key": key}},
        "subprotocol": {"subprotocols": ["comfyui-gateway", f"key.{key}"]},
    }[way]
    async with connect(gate, **options) as socket:
        assert socket.subprotocol == ("comfyui-gateway" if way == "subprotocol" else None)
        await socket.send('{"type": "ping"}')
        assert json.loads(await socket.recv()) == {"type": "pong"}


async def test_a_wrong_key_or_none_refuses_the_handshake(gate: Guarded) -> None:
    for options in (
        {},
        {"additional_headers": {"Authorization": f"Bearer {WRONG}"}},
        {"subprotocols": ["comfyui-gateway", f"key.{WRONG}"]},
    ):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await connect(gate, **options).__aenter__()
        response = refused.value.response
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert json.loads(response.body or b"")["code"] == "unauthorized"


async def test_a_key_in_a_message_is_no_message_of_ours(gate: Guarded) -> None:
    key = gate.texts["alice"]
    async with connect(gate, additional_headers={"X-API-Key": key}) as socket:
        await socket.send(json.dumps({"type": "auth", "key": key}))
        said = json.loads(await socket.recv())
        assert (said["type"], said["code"]) == ("error", "invalid_message")
        assert key not in said["message"]


async def test_a_websocket_hears_of_its_own_tasks_only(gate: Guarded) -> None:
    alice, bob = await gate.client("alice"), await gate.client("bob")
    visible_owner: dict[str, set[str]] = {}
    async with (
        connect(gate, additional_headers={"X-API-Key": gate.texts["alice"]}) as of_alice,
        connect(gate, additional_headers={"X-API-Key": gate.texts["boss"]}) as of_boss,
    ):
        for socket in (of_alice, of_boss):  # once they answer, they are subscribed
            await socket.send('{"type": "subscribe", "previews": true}')
            assert json.loads(await socket.recv())["type"] == "subscribed"
        theirs = (await submit(bob, text_to_image()))["task_id"]
        mine = (await submit(alice, text_to_image(seed=2)))["task_id"]
        for name, socket in (("alice", of_alice), ("boss", of_boss)):
            await socket.send('{"type": "ping"}')
            visible_owner[name] = set()
            while (message := await socket.recv()) != '{"type":"pong"}':
                if isinstance(message, bytes):
                    visible_owner[name].add(
                        "preview of " + (theirs if theirs.encode() in message else mine)
                    )
                elif json.loads(message)["type"] == "task_update":
                    visible_owner[name].add(json.loads(message)["task_id"])
        await of_alice.send(json.dumps({"type": "subscribe", "task_ids": [theirs]}))
        await of_alice.recv()
        assert json.loads(await of_alice.recv())["code"] == "task_not_found"
    assert visible_owner["alice"] - {f"preview of {mine}"} == {mine}
    assert {mine, theirs} <= visible_owner["boss"]


# -- revocation ---------------------------------------------------------------------------------


async def test_a_revoked_key_ends_at_once_with_its_streams(
    settings_for: SETTINGS, tmp_path: Path
) -> None:
    async with (
        DemoServer(step_seconds=0.2) as demo,
        guarded(settings_for, tmp_path, demo, keys=ALICE_AND_BOB) as gate,
    ):
        alice, bob = await gate.client("alice"), await gate.client("bob")
        body = {"workflow": text_to_image(steps=500)}
        task = (await alice.post("/api/workflow/submit", json=body)).json()
        async with (
            connect(gate, additional_headers={"X-API-Key": gate.texts["alice"]}) as socket,
            connect(gate, additional_headers={"X-API-Key": gate.texts["bob"]}) as of_bob,
            alice.stream("GET", f"/api/task/{task['task_id']}/events") as events,
            alice.stream("GET", f"/api/v2/jobs/{task['task_id']}/events") as events_v2,
        ):
            lines, lines_v2 = events.aiter_lines(), events_v2.aiter_lines()
            assert await anext(lines)
            assert await anext(lines_v2)
            gate.file.revoke("alice")
            assert (await alice.get("/api/tasks")).status_code == 401
            async with asyncio.timeout(WAIT):  # the streams end, and not as though by an accident
                assert [line async for line in lines]
                assert [line async for line in lines_v2]
                with pytest.raises(websockets.ConnectionClosed) as closed:
                    await _listen(socket)
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
                *(1008, "the API key, or its URL, was revoked"),
            )
            await of_bob.send('{"type": "ping"}')
            assert json.loads(await of_bob.recv()) == {"type": "pong"}
            assert (await bob.get("/api/tasks")).status_code == 200
        boss = await gate.client("boss")
        await boss.post(f"/api/task/{task['task_id']}/cancel")
        assert gate.gateway.hub.subscribers == 0


async def _listen(socket: websockets.ClientConnection) -> None:
    while True:
        await socket.recv()


async def test_a_key_added_while_we_run_works_and_owns_what_its_name_owned(gate: Guarded) -> None:
    task = await submit(await gate.client("alice"))
    gate.file.revoke("alice")
    text = new_key()
    with pytest.raises(InvalidInput, match="would belong to the new one"):
        gate.file.add(key_named("alice", text))
    again = await gate.client(key=text)
    assert (await again.get(f"/api/task/{task['task_id']}")).status_code == 401
    gate.file.add(key_named("alice", text), take_over=True)
    assert (await again.get(f"/api/task/{task['task_id']}")).status_code == 200


# -- files --------------------------------------------------------------------------------------


async def test_uploads_of_the_same_name_do_not_meet(gate: Guarded) -> None:
    alice, bob = await gate.client("alice"), await gate.client("bob")
    made: dict[str, Json] = {}
    for client, color in ((alice, "red"), (bob, "blue")):
        upload = await client.post("/api/image/upload", files={"image": ("a.png", picture(color))})
        assert upload.json()["name"] == "a.png"  # nothing tells that it is taken
        made[color] = await submit(client, with_input("a.png"))
        content = (await client.get("/api/image/a.png?type=input")).content
        assert content == picture(color)
    assert made["red"]["outputs"][0]["hash"] != made["blue"]["outputs"][0]["hash"]
    small = [(await c.get("/api/image/a.png?type=input&width=2")).content for c in (alice, bob)]
    assert small[0] != small[1]
    boss = await gate.client("boss")
    assert (await boss.get("/api/image/a.png?type=input")).status_code == 404
    retried = (await boss.post(f"/api/task/{made['blue']['task_id']}/retry")).json()
    done = await wait_until(
        lambda: _finished(bob, retried["task_id"])
    )  # it is bob's, as is the file
    assert done["outputs"][0]["hash"] == made["blue"]["outputs"][0]["hash"]


async def _finished(client: httpx.AsyncClient, task_id: str) -> Json | None:
    task: Json = (await client.get(f"/api/task/{task_id}")).json()
    return task if task["finished_at"] else None


async def test_files_of_all_and_files_by_hash(gate: Guarded, tmp_path: Path) -> None:
    alice, bob = await gate.client("alice"), await gate.client("bob")
    (tmp_path / "uploads" / "common.png").write_bytes(picture("green"))
    await submit(alice, with_input("common.png"))
    form = {"content_type": "image/png", "file_path": "a.png"}
    files = {"file": ("a.png", picture())}
    asset = (await alice.post("/api/v2/assets", data=form, files=files)).json()
    again = await bob.head(f"/api/v2/assets/by-hash/{asset['hash']}")
    assert again.status_code == 404  # it does not tell who has what
    wish = {"hash": asset["hash"], "file_path": "b.png"}
    refused = await bob.post("/api/v2/assets/from-hash", json=wish)
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "blob_not_found")
    theirs = await bob.post("/api/v2/assets", data=form, files=files)
    assert theirs.status_code == 201  # new to bob
    assert (await alice.delete(f"/api/v2/assets/{asset['id']}")).status_code == 204
    content = await bob.get(f"/api/v2/assets/{theirs.json()['id']}/content")
    assert content.content == picture()
    boss = await gate.client("boss")
    workflow = with_input("")
    workflow["1"]["inputs"]["image"] = {"__type": "core/ASSET", "info": {"id": theirs.json()["id"]}}
    job = (await boss.post("/api/v2/jobs", json={"workflow": workflow})).json()
    done = await wait_until(lambda: _finished(boss, job["id"]))
    assert done["status"] == "succeeded", done["error"]


async def test_an_idempotency_key_is_the_api_keys_own(gate: Guarded) -> None:
    ids = []
    for name in ("alice", "bob", "alice"):
        client = await gate.client(name)
        answer = await client.post(
            "/api/workflow/submit",
            json={"workflow": model_free()},
            headers={"Idempotency-Key": "once"},
        )
        ids.append(answer.json()["task_id"])
    assert ids[0] == ids[2] != ids[1]


async def test_shared_tasks_are_everybodys(
    settings_for: SETTINGS, tmp_path: Path, demo: DemoServer
) -> None:
    async with guarded(
        settings_for, tmp_path, demo, keys={**ALICE_AND_BOB, "eve": "read"}, shared_tasks=True
    ) as gate:
        alice, bob, eve = [await gate.client(name) for name in ("alice", "bob", "eve")]
        await alice.post("/api/image/upload", files={"image": ("a.png", picture())})
        task = await submit(bob, with_input("a.png"))
        assert (await eve.get(task["outputs"][0]["url"])).status_code == 200
        assert len((await eve.get("/api/tasks")).json()["tasks"]) == 1
        assert (await eve.delete(f"/api/task/{task['task_id']}")).status_code == 403
        assert (await alice.delete(f"/api/task/{task['task_id']}")).status_code == 204


# -- limits -------------------------------------------------------------------------------------


async def test_the_rate_of_a_key(settings_for: SETTINGS, tmp_path: Path, demo: DemoServer) -> None:
    keys: Json = {"slow": {"scope": "read", "rate": "2/day"}, "free": "read"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        slow, free = await gate.client("slow"), await gate.client("free")
        left = [(await slow.get("/api/tasks")).headers["RateLimit-Remaining"] for _ in range(2)]
        assert left == ["1", "0"]
        refused = await slow.get("/api/tasks")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
        assert 0 < int(refused.headers["Retry-After"]) <= 43200
        v2 = await slow.get("/api/v2/jobs")
        assert (v2.status_code, v2.json()["error"]["code"]) == (429, "rate_limited")
        answer = await free.get("/api/tasks")
        assert answer.is_success
        assert "RateLimit-Limit" not in answer.headers


async def test_a_key_may_have_so_many_tasks_waiting_and_a_day(
    settings_for: SETTINGS, tmp_path: Path, demo: DemoServer
) -> None:
    keys: Json = {"few": {"queued": 2}, "poor": {"daily": 2}, "boss": "manage"}
    async with guarded(settings_for, tmp_path, demo, keys=keys) as gate:
        few, poor, boss = [await gate.client(name) for name in ("few", "poor", "boss")]
        many = {"workflow": model_free(), "batch": {"1.color": [1, 2, 3]}}
        refused = await few.post("/api/workflow/submit", json=many)
        assert (refused.status_code, refused.json()["code"]) == (429, "key_queue_full")
        assert int(refused.headers["Retry-After"]) > 0
        first = await submit(poor)
        await submit(poor)
        await poor.delete(f"/api/task/{first['task_id']}")  # does not give it back
        for answer in (
            await poor.post("/api/workflow/submit", json={"workflow": model_free()}),
            await poor.post("/api/v2/jobs", json={"workflow": model_free()}),
        ):
            assert answer.status_code == 429
            assert 0 < int(answer.headers["Retry-After"]) <= 86400
        assert answer.json()["error"]["code"] == "rate_limited"
        assert len((await boss.get("/api/tasks")).json()["tasks"]) == 1


@pytest.mark.parametrize("limit", [1, 2])
async def test_a_key_has_so_many_tasks_on_servers_and_others_pass_it(
    settings_for: SETTINGS, tmp_path: Path, limit: int
) -> None:
    keys: Json = {"few": {"concurrent": limit}, "many": "run", "boss": "manage"}
    async with (
        DemoServer(step_seconds=0.02) as one,
        DemoServer(step_seconds=0.02) as two,
        guarded(settings_for, tmp_path, one, two, keys=keys) as gate,
    ):
        few, many = await gate.client("few"), await gate.client("many")
        body = {"workflow": text_to_image(steps=10), "batch": {"3.seed": [1, 2, 3, 4, 5]}}
        mine = (await few.post("/api/workflow/submit", json=body)).json()
        theirs = await submit(many, text_to_image(steps=2, seed=9))
        most = 0

        async def is_done() -> bool:
            nonlocal most
            runs = [
                run.task
                for server in gate.gateway.pool
                for run in gate.gateway.dispatcher.running_on(server)
            ]
            most = max(most, sum(task.owner == "few" for task in runs))
            batch = (await few.get(f"/api/batch/{mine['batch_id']}")).json()
            return bool(batch["finished"])

        await wait_until(is_done)
        assert most == limit
        batch = (await few.get(f"/api/batch/{mine['batch_id']}")).json()
        assert batch["counts"] == {"succeeded": 5}
        assert theirs["finished_at"] < max(task["finished_at"] for task in batch["tasks"])


async def test_limits_hold_when_many_submit_at_once(database: Database) -> None:
    caller = Caller(AccessLevel.RUN, "app", "app", queued=3, daily=5)
    store = TaskRepository(TaskTable(database), caller)

    async def add() -> bool:
        try:
            await store.add([NewTask(task_id=new_key()[:36], prompt={}, owner="app")])
        except (KeyQueueFull, QuotaExceeded):
            return False
        return True

    assert sum(await asyncio.gather(*(add() for _ in range(12)))) == 3
    for task in await store.page():
        await store.request_cancel(task.task_id)
    assert sum(await asyncio.gather(*(add() for _ in range(12)))) == 2


# -- pages of others, hosts, headers ------------------------------------------------------------


async def test_pages_of_others_cannot_drive_it(gateway: RunningGateway) -> None:
    evil = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
    refused = await gateway.http.post("/api/queue/clear", headers=evil)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    refused = await gateway.http.post("/api/v2/jobs", headers=evil, json={})
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
    with pytest.raises(websockets.InvalidStatus) as error:
        await websockets.connect(f"ws://{gateway.address}/ws", origin="http://evil.example")
    assert error.value.response.status_code == 403
    own = {"Origin": f"http://{gateway.address}", "Sec-Fetch-Site": "same-origin"}
    assert (await gateway.http.post("/api/queue/clear", headers=own)).is_success
    async with websockets.connect(f"ws://{gateway.address}/ws", origin=own["Origin"]) as socket:
        await socket.send('{"type": "ping"}')
        assert json.loads(await socket.recv()) == {"type": "pong"}


async def test_a_name_that_was_made_to_point_here_is_refused(
    settings_for: SETTINGS, demo: DemoServer, tmp_path: Path
) -> None:
    evil = {"Host": "evil.example:8000"}
    async with over(settings_for, demo, allowed_hosts="gateway.example") as running:
        refused = await running.http.get("/api/tasks", headers=evil)
        assert (refused.status_code, refused.json()["code"]) == (403, "host_not_allowed")
        assert "COMFYUI_ALLOWED_HOSTS=evil.example" in refused.json()["hint"]
        for host in ("localhost:1", "gateway.example", "127.0.0.1"):
            assert (await running.http.get("/api/tasks", headers={"Host": host})).is_success
    async with guarded(settings_for, tmp_path, demo, keys={"a": "read"}) as gate:
        assert (await (await gate.client("a")).get("/api/tasks", headers=evil)).is_success


async def test_cors_is_for_the_origins_of_the_setting(
    settings_for: SETTINGS, demo: DemoServer, tmp_path: Path
) -> None:
    page = {"Origin": "https://app.example"}
    ask = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    settings = {"cors_origins": "https://app.example", "keys": {"a": "run"}}
    async with guarded(settings_for, tmp_path, demo, **settings) as gate:
        stranger, client = await gate.client(), await gate.client("a")
        preflight = await stranger.options("/api/workflow/submit", headers={**page, **ask})
        assert preflight.status_code == 200
        assert preflight.headers["Access-Control-Allow-Origin"] == page["Origin"]
        assert "x-api-key" in preflight.headers["Access-Control-Allow-Headers"].lower()
        for answer in (
            await client.post("/api/queue/clear", headers=page),
            await stranger.post("/api/queue/clear", headers=page),  # so that it can read why
        ):
            assert answer.headers["Access-Control-Allow-Origin"] == page["Origin"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
        evil = {"Origin": "https://evil.example"}
        preflight = await stranger.options("/api/workflow/submit", headers={**evil, **ask})
        assert preflight.status_code == 400
        answer = await client.get("/api/tasks", headers=evil)
        assert "Access-Control-Allow-Origin" not in answer.headers


async def test_every_answer_has_security_headers(gateway: RunningGateway) -> None:
    for path, policy in {
        "/": "script-src 'self'",
        "/static/js/main.js": "frame-ancestors 'none'",
        "/api/tasks": "default-src 'none'",
        "/api/none": "default-src 'none'",
        "/docs": "style-src 'self';",
        "/redoc": "script-src 'self';",
        "/api/task/x": "default-src 'none'",
    }.items():
        headers = (await gateway.http.get(path)).headers
        assert policy in headers["Content-Security-Policy"], path
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "Access-Control-Allow-Origin" not in headers
    task = await gateway.submit(model_free())
    headers = (await gateway.http.get(task["outputs"][0]["url"])).headers
    assert headers["Content-Security-Policy"] == "default-src 'none'; sandbox"


async def test_the_docs_can_be_switched_off(settings_for: SETTINGS, demo: DemoServer) -> None:
    async with over(settings_for, demo, docs=False) as running:
        for path in ("/docs", "/redoc", "/openapi.json"):
            assert (await running.http.get(path)).status_code == 404


# -- what is told, and to whom ------------------------------------------------------------------


async def test_health_tells_strangers_no_details(gate: Guarded) -> None:
    stranger, alice = await gate.client(), await gate.client("alice")
    server = gate.gateway.pool.online()[0]
    for path in ("/api/health", "/api/ready", "/api/v2/health"):
        answer = await stranger.get(path)
        assert answer.status_code == 200
        assert server.id not in answer.text
    assert (await alice.get("/api/health")).json()["servers"][0]["id"] == server.id
    server.health.online = False
    for path, status in (("/api/health", 200), ("/api/ready", 503), ("/api/v2/health", 200)):
        answer = await stranger.get(path)
        assert answer.status_code == status
        assert server.id not in answer.text
    assert server.id in (await alice.get("/api/health")).json()["reason"]


async def test_settings_are_shown_to_those_who_manage(gate: Guarded) -> None:
    shown = [
        (await (await gate.client(name)).get("/api/system/info")).json()["settings"]
        for name in ("alice", "boss")
    ]
    assert shown[0] is None
    assert "api_keys" not in shown[1]
    assert shown[1]["shared_tasks"] is False


@pytest.mark.parametrize(
    ("changes", "warns"),
    [
        ({}, False),
        ({"host": "0.0.0.0"}, True),
        ({"host": "localhost"}, False),
        ({"cors_origins": "*"}, True),
        ({"host": "0.0.0.0", "keys": True, "cors_origins": "*"}, False),
    ],
)
async def test_open_doors_are_warned_of(
    settings_for: SETTINGS,
    tmp_path: Path,
    changes: Json,
    warns: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if changes.pop("keys", False):
        changes["api_keys"] = str(tmp_path / "keys.json")
        write_keys(tmp_path / "keys.json", me="manage")
    async with over(settings_for, **changes) as running:
        found = (await running.http.get("/api/health")).json()["warnings"]
    assert bool(found) is warns
    assert all(warning in caplog.text for warning in found)
    if "host" in changes and warns:
        assert "python start.py keys add me --scope manage" in found[0]
        assert "COMFYUI_API_KEYS=" in found[0]
