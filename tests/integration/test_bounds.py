"""Whatever clients and servers send, what a process remembers stays within its bounds.

All containers of all objects of the application are found, and each must have a bound here, and in
the table of ARCHITECTURE.md: one that is in neither fails the test.
"""

import asyncio
import gc
import io
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websockets
from PIL import Image
from sqlalchemy import Connection, func, insert, select

from app.api.native import session
from app.auth import rate_limits
from app.auth.model import Rate
from app.comfyui.events import Preview, Progress
from app.db import idempotency, native_ends, requirements
from app.db import run_times as estimates
from app.db.cleanup import Tidying
from app.db.engine.database import Database
from app.db.engine.list_parameters import MAX_LIST_ROWS
from app.db.run_times import RunTime, RunTimes
from app.db.tables import idempotency_keys, key_usage, run_times
from app.events import hub, status_log
from app.events.client_channels import Channel, Message
from app.files import uploads
from app.limits.lru_cache import BoundedCache
from app.runner.paid_node_keys import PaidNodeKeys
from app.runner.progress import Tracker
from app.scheduler import stream_reconciler, view_cleanup
from app.servers import event_inbox, offer
from app.services import tasks
from app.settings import Settings
from app.webhooks import deliverer, fair_share
from fake_comfyui.server import DemoServer
from tests.conftest import ROOT, RunningGateway, model_free, over, wait_until
from tests.growing import caches, containers, largest_within, size_of
from tests.hubs import tell
from tests.native_clients import native_socket

pytestmark = pytest.mark.slow

SMALL = 5  # what bounds are made for the test
COUNT = 7 * SMALL  # what is sent: more than any bound that it could go beyond

SettingsFor = Callable[..., Settings]
Json = dict[str, Any]

# By name: the bound of what grows with what is sent, and of what it holds. That of a BoundedCache
# is its own.
A_PROMPT = 100  # nodes, results and the like of one task
GROWING: dict[str, tuple[int, int]] = {
    "Access._open": (SMALL, 0),
    "Content._data": (A_PROMPT, A_PROMPT),
    "PaidNodeKeys._coming": (COUNT, 0),
    "PaidNodeKeys._keys": (COUNT, 0),
    "PaidNodeKeys._to_look_at": (COUNT, 0),
    "Breaker._owners": (SMALL, 0),
    "Breaker._tried": (SMALL, 0),
    "CallerSlots._callers": (SMALL * 3, 0),
    "OutputCollector._fetching": (100, 0),
    "OutputCollector._files_here": (A_PROMPT, 10),
    "OutputCollector._have": (A_PROMPT, 10),
    "OutputCollector._keys": (A_PROMPT, 0),
    "OutputCollector._noted": (A_PROMPT, 10),
    "OutputCollector._texts": (A_PROMPT, A_PROMPT),
    "OutputCollector.left_out": (A_PROMPT, 10),
    "OutputCollector.missing": (A_PROMPT, 0),
    "OutputCollector.outputs": (A_PROMPT, 0),
    "EncodedNodes._known": (0, 0),  # by bytes
    "Connection.connections": (SMALL * 3, 0),
    "Connection.headers": (100, 0),
    "Connection.pipeline": (1000, 0),
    "Connection.scope": (40, 100),
    "Connection.tasks": (SMALL * 3, 0),
    "Deliverer._news": (SMALL, 0),
    "DeliverySlots._addresses": (32, 0),
    "DeliverySlots._failing": (SMALL, 0),
    "DeliverySlots._hosts": (32, 0),
    "DeliverySlots._lanes": (32, 0),
    "DeliverySlots._looks": (2, 2),
    "DeliverySlots._turns": (2, 0),
    "Dispatcher._drives": (2, 0),
    "Dispatcher._runs": (2, 0),
    "RunTimes._known": (0, 0),
    "RunTimes._unsaved": (2 * COUNT, 2),  # what ends in 5 s, which is more on a fast machine
    "ServerService._named": (1, 0),
    "ServerService.notes": (20, 0),
    "Health.stats": (10, 20),
    "ClientChannels._mailboxes": (SMALL, SMALL),
    "Hub._everything": (SMALL, 0),
    "Mailbox._waiting": (1000, 0),
    "NativeCounts._next": (SMALL, 0),
    "NativeEnds._unsaved": (SMALL, 0),
    "NativeSession._at_work": (SMALL, 0),
    "NativeSession._told": (0, 0),
    "Hub._followed": (SMALL, 0),
    "Hub._of_task": (3 * SMALL, SMALL),
    "Hub._previews": (0, 0),
    "Hub._recent": (SMALL, SMALL),
    "Hub._subscriptions": (SMALL, 0),
    "LocalRates._buckets": (0, 0),
    "LocalStore._undeleted": (0, 0),
    "Library._formats": (0, 0),
    "StreamReconciler._last_event": (SMALL, 0),
    "StreamReconciler._hopes": (SMALL, 0),
    "StreamReconciler._last_view": (SMALL, 60),
    "Metrics._servers": (1, 0),
    "NodeTypes._fixed": (200, 40),
    "NodeTypes._object_info": (200, 40),
    "Patience._known": (SMALL * 3, 0),
    "Pool._servers": (1, 0),
    "Pool._watches": (1, 0),
    "MemoryBudget._taken": (SMALL * 3, 0),
    "MemoryBudget._waiting": (SMALL * 3, 0),
    "Reading._held": (1000, 0),
    "RequirementsCache._known": (0, 0),
    "RunRecord.names": (A_PROMPT, 0),
    "RunRecord._untold": (A_PROMPT, 10),
    "Refusals._known": (0, 0),
    "Refusals._unnamed": (0, 0),
    "Run.prompt": (A_PROMPT, 10),
    "ViewsFound.of_uploads": (SMALL, 0),
    "RunRecord.attempts": (10, 0),
    "OpenRequests._asking": (10, 0),
    "Offer._fits": (0, 0),
    "PromptEvents._inboxes": (2, 0),
    "Relay._executed": (A_PROMPT, 0),
    "Relay._held": (SMALL, 0),
    "Relay._prompt": (A_PROMPT, 10),
    "Relay._stored": (A_PROMPT, 10),
    "Run._inbox": (SMALL, 0),
    "Offer.node_types": (200, 40),
    "Server.warm": (A_PROMPT, 0),
    "ServerCapacity.warm": (A_PROMPT, 0),
    "Socket.connections": (SMALL * 3, 0),
    "Socket.frames": (10, 0),
    "Socket.queue": (10, 0),
    "Socket.scope": (40, 100),
    "Socket.tasks": (SMALL * 3, 0),
    "Subscription._task_ids": (3 * SMALL, 0),
    "Subscription._waiting": (1000, 0),
    "TaskParts.owners": (0, 0),
    "Transport._responses": (10, 0),
    "ReplicaTasks._computed": (0, 0),
    "ReplicaTasks._rows": (0, 0),
    "ReplicaTasks._tasks": (0, 0),
    "Tracker._cached": (A_PROMPT, 0),
    "Tracker._classes": (A_PROMPT, 0),
    "Tracker._done": (A_PROMPT, 0),
    "Tracker._fractions": (A_PROMPT, 0),
    "Tracker._weights": (A_PROMPT, 0),
    "Tracker.ran": (A_PROMPT, 0),
    "TextOutputs._cuts": (A_PROMPT, 0),
    "TextOutputs._kept": (A_PROMPT, 0),
    "StatusLog._known": (0, 0),
    "FailedSaves._idle": (2, 0),
    "FailedSaves._tries": (0, 0),
    "DuplicateServers._near": (SMALL, 2),
    "Turns._waiting": (SMALL * 3, 0),
    "NativeMemory.answers": (0, 0),
    "NativeMemory.entries": (0, 0),
    "NativeMemory.jobs": (0, 0),
    "NativeMemory.rows": (0, 0),
    "NativeMemory.workflows": (0, 0),
    "UploadFolders.known": (0, 0),
    "Views._making": (SMALL * 3, 0),
    "WaitingRequirements._able": (COUNT, 1),
    "WaitingRequirements._judged_by": (1, 0),
    "_Owner.unproven": (5, 0),
    "_Seen._scope": (40, 100),
}
# Made by the code or by the operator, once; nobody else adds to them.
FIXED = {
    *("Connection.app_state", "Socket.app_state", "Socket.default_headers", "Deliverer.results"),
    *(
        "ServerService._own",
        *("NativeDoors._ports", "RequestLog._paths", "_Seen._paths"),
        "Guard._hosts",
        "Guard._networks",
        "Hub._listeners",
        "Hub._watchers",
        "Rules._patterns",
        "Rules._plain",
    ),
    *("NodeTypes.object_info", "NodeTypes._fixed"),  # of the stand-in: by its classes
    *(
        "WritableStores._checks",
        "WritableStores._found",
        "WritableStores._running",
    ),
    *(
        "GatewayServer._captured_signals",
        "GatewayServer.servers",
        "Notifications._listeners",
    ),
    *(
        "SecurityHeaders._by_policy",
        "Static.all_directories",
        "_AnyOf._memoized_keys",
        "_NoneOf._memoized_keys",
    ),
    *("Sqlite._locks", "Postgresql._locks", "_Transactions._kept"),
    *(
        "Statement._compiled",
        "_Compiled._constants",
        "SharedTexts._keep",
    ),  # by what the code calls them with
    *("Leftovers._stores", "Leftovers._folders"),
    *("Lifespan.receive_queue", "Lifespan.state"),
}
# Functions that remember without a bound: each has few arguments that there can be.
FEW_ANSWERS = {
    *("servers.core_nodes.core_node_types", "db.queries.newest_result"),
    *("db.claims._change_to", "db.engine.database.insert_if_new"),
}


@pytest.fixture(autouse=True)
def _alone() -> Iterator[None]:
    """What other tests have left is not looked at: its bounds were larger."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same bounds, but small ones."""
    for module, *names in (
        (uploads, "KNOWN"),
        (view_cleanup, "MOST_KNOWN"),
        (rate_limits, "MAX_BUCKETS"),
        (tasks, "KNOWN_OWNERS"),
        (event_inbox, "MOST_EVENTS"),
        (hub, "KEPT_TASKS", "KEPT_UPDATES"),
        (stream_reconciler, "MAX_FOLLOWED_TASKS", "TOLD", "QUEUE_HEAD_TASKS"),
        (status_log, "MAX_REMEMBERED_TASKS"),
        (deliverer, "MAX_BATCH_WEBHOOKS"),
        (fair_share, "MOST_FAILING"),
    ):
        for name in names:
            monkeypatch.setattr(module, name, SMALL)
    monkeypatch.setattr(session, "MOST_AT_WORK", SMALL)
    monkeypatch.setattr(session, "MOST_TOLD", SMALL)
    monkeypatch.setattr(native_ends, "MOST_UNSAVED", SMALL)
    monkeypatch.setattr(hub, "MOST_FOLLOWED", 3 * SMALL)
    monkeypatch.setattr(offer, "KNOWN_FITS", SMALL * 50)
    monkeypatch.setattr(requirements, "MAX_CACHE_CHARACTERS", SMALL * 250)
    monkeypatch.setattr(estimates, "KEPT_NODES", SMALL * 13)
    monkeypatch.setattr(hub, "KEPT_PREVIEWS", SMALL * 2000)


def check() -> None:
    """Every container there is: its bound, and what is in it."""
    found, wrong = set(), []
    for name, _, container in containers():
        found.add(name)
        if name in FIXED:
            continue
        if name not in GROWING:
            wrong.append(f"{name} has no bound")
        elif isinstance(container, BoundedCache):
            wrong += [name] if container.size > container.most else []
        else:
            size, within = size_of(container), largest_within(container)
            if size > GROWING[name][0] or within > GROWING[name][1]:
                wrong.append(f"{name} has {size}, {within} in one")
    assert not wrong, "\n".join(sorted(set(wrong)))
    assert {
        "Hub._of_task",
        "RunRecord.attempts",
        "WaitingRequirements._able",
        "Tracker._done",
    } <= found


def test_functions_remember_within_bounds() -> None:
    endless = {name for name, cache in caches() if cache.cache_info().maxsize is None}
    assert endless == FEW_ANSWERS


def test_the_table_has_all_that_grows() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    section = text.split("## What a process remembers")[1].split("\n## ")[0]
    named = set(re.findall(r"`((?:[a-z]+\.)?_?[A-Z]\w+\.\w+)`", section))
    assert named == set(GROWING)


def picture(number: int) -> bytes:
    kept = io.BytesIO()
    Image.new("RGB", (8, 8), (number % 256, number // 256, 7)).save(kept, "PNG")
    return kept.getvalue()


async def test_nothing_grows_beyond_its_bound(
    demo: DemoServer, settings_for: SettingsFor, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Views are made by other processes, and these remember nothing.
    monkeypatch.setattr("app.files.images.views.make_view", lambda a, b, *_: shutil.copy(a, b))
    async with over(settings_for, demo, database_url=url) as gateway:
        await send_all(gateway)
        await follow_all(gateway, demo)


async def send_all(gateway: RunningGateway) -> None:
    limit = asyncio.Semaphore(8)

    async def asked(method: str, path: str, **more: Any) -> httpx.Response:
        async with limit:
            return await gateway.http.request(method, path, **more)

    async def upload(number: int) -> httpx.Response:
        file = (f"{number}.png", picture(number), "image/png")
        return await asked("POST", "/api/image/upload", files={"image": file})

    async def load(number: int) -> httpx.Response:
        workflow = model_free(number)
        workflow["1"] = {"class_type": "LoadImage", "inputs": {"image": f"{number}.png"}}
        workflow["3"]["inputs"]["compress_level"] = number  # another shape
        headers = {"Idempotency-Key": f"{number}", "X-Request-Id": f"{number}"}
        return await asked("POST", "/api/workflow/submit?wait=60", json=workflow, headers=headers)

    async def view(number: int) -> httpx.Response:
        query = {"type": "input", "width": 4}
        return await asked("GET", f"/api/image/{number}.png", params=query)

    async def job(number: int) -> httpx.Response:
        key = {"api_key_comfy_org": f"key-{number:030}"}
        body = {"workflow": model_free(number, prefix=f"p{number}"), "extra_data": key}
        return await asked("POST", "/api/v2/jobs", json=body)

    for what in (upload, load, view, job):
        answers = await asyncio.gather(*map(what, range(COUNT)))
        assert {answer.status_code // 100 for answer in answers} == {2}, answers[0].text
    await wait_until(lambda: is_idle(gateway))
    for number in range(COUNT):
        gateway.gateway.deliverer._slots.note(f"host-{number}.example", success=False)
        gateway.gateway.deliverer.changed(str(uuid4()))


async def is_idle(gateway: RunningGateway) -> bool:
    queue = (await gateway.http.get("/api/queue")).json()
    return not queue["running"] and not queue["queued"]


async def follow_all(gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.stall = True
    running = await gateway.submit(model_free(1, prefix="running"), wait=0)
    await gateway.until(running["task_id"], "running")
    loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}}
    body = {
        "workflow": {**model_free(), "9": loader},
        "batch": {"9.ckpt_name": [f"{number}.safetensors" for number in range(COUNT)]},
        "wait_for_server": True,
    }
    waiting = await gateway.http.post("/api/workflow/submit?wait=0", json=body)
    assert waiting.status_code == 202, waiting.text
    waits = gateway.gateway.dispatcher._waits
    await wait_until(lambda: len(waits._able) >= COUNT)
    address = f"ws://{gateway.address}/ws"
    # All that is said is taken in: the sockets would not close before their timeout otherwise.
    async with (
        websockets.connect(address, max_queue=None) as one,
        websockets.connect(address, max_queue=None) as two,
    ):
        for socket in (one, two):
            for _ in range(COUNT // SMALL):
                ids = [str(uuid4()) for _ in range(SMALL)]
                await socket.send(json.dumps({"type": "subscribe", "task_ids": ids}))
            await socket.send('{"type": "ping"}')
            said = [json.loads(await socket.recv())]
            while said[-1]["type"] != "pong":
                said.append(json.loads(await socket.recv()))
            assert any("too many tasks" in message.get("message", "") for message in said)
        for number in range(COUNT):
            tell(gateway.gateway.hub, f"task {number}", "preview", {}, b"x" * 1000)
        (looking,) = {
            id(h): h for name, h, _ in containers() if name == "StreamReconciler._last_view"
        }.values()
        for task in await gateway.gateway.tasks.queue():
            looking._tell(task)
        async with native_socket(gateway.address):
            await say_natively(gateway)
            check()
    demo.knobs.stall = False


async def say_natively(gateway: RunningGateway) -> None:
    """To a socket of ComfyUI's own protocol, of more tasks than it remembers."""
    channels, ends = gateway.gateway.channels, gateway.gateway.native_ends
    for number in range(COUNT):
        message = Message("text", f"task {number}", "", b'{"type": "x", "data": {}}')
        channels.publish(Channel(None, "c"), message)
        ends.tell(f"task {number}")
    (mailbox,) = channels._mailboxes[Channel(None, "c")]
    await wait_until(lambda: not mailbox._waiting)


async def test_a_chatty_server_fills_no_memory() -> None:
    waiting = event_inbox.EventInbox()
    for step in range(COUNT):
        waiting.offer(Progress("p", "1", step, COUNT))
    assert waiting.qsize() == SMALL
    waiting.put_nowait("what somebody asks always comes in")
    assert waiting.qsize() == SMALL + 1
    pictures = event_inbox.EventInbox()
    for _ in range(5):
        pictures.offer(Preview("image/png", b"x" * (event_inbox.MOST_BYTES // 4)))
    assert pictures.qsize() == 4
    pictures.get_nowait()
    pictures.offer(Preview("image/png", b"x" * (event_inbox.MOST_BYTES // 4)))
    assert pictures.qsize() == 4


def test_nodes_that_are_not_in_the_prompt_are_not_remembered() -> None:
    tracker = Tracker(model_free())
    for number in range(COUNT):
        tracker.apply(Progress("p", f"1.{number}", 1, 2))
    tracker.apply(Progress("p", "1", 1, 2))
    assert tracker._fractions == {"1": 0.5}


async def test_rates_of_very_many_names() -> None:
    local = rate_limits.LocalRates()
    for number in range(COUNT):
        await local.take(f"key {number}", Rate(2, 60))
    assert len(local._buckets) == SMALL
    first, second, third = [await local.take(f"key {COUNT - 1}", Rate(2, 60)) for _ in range(3)]
    assert (first.allowed, second.allowed, third.allowed) == (True, False, False)


async def test_keys_of_tasks_that_were_refused_are_forgotten(
    demo: DemoServer, settings_for: SettingsFor
) -> None:
    async with over(settings_for, demo, max_queued=1) as gateway:
        demo.knobs.stall = True
        codes = set()
        for number in range(COUNT):
            body = {"workflow": model_free(number), "extra_data": {"api_key_comfy_org": "secret"}}
            codes.add((await gateway.http.post("/api/v2/jobs", json=body)).status_code)
        assert 429 in codes
        (keys,) = {
            id(run._context.paid_node_keys): run._context.paid_node_keys for run in runs(gateway)
        }.values()
        assert isinstance(keys, PaidNodeKeys)
        assert len(keys._keys) <= 3, "two on the server, one waits"
        demo.knobs.stall = False


def runs(gateway: RunningGateway) -> list[Any]:
    return list(gateway.gateway.dispatcher._runs.values())


async def test_times_of_very_many_shapes_and_of_huge_ones(database: Database) -> None:
    known = RunTimes(database)
    for number in range(COUNT):
        known.learn(f"shape {number}", "s", RunTime(1.0, {"1": 0.5, "2": 0.5, "3": 0.0}))
    assert known._known.size <= SMALL * 13
    assert known.known(f"shape {COUNT - 1}") is not None
    assert known.known("shape 0") is None
    huge = {str(number): 1.0 for number in range(estimates.MOST_NODES + 1)}
    known.learn("huge", "s", RunTime(9.0, huge))
    assert known.known("huge") == RunTime(9.0, {})


async def test_rows_that_are_old_go(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimates, "KEPT_ROWS", SMALL)
    old, now = time.time() - idempotency.KEY_LIFETIME_SECONDS - 1, time.time()
    task = {"digest": "d", "task_id": "t"}
    rows: dict[Any, list[Json]] = {
        idempotency_keys: [
            *(
                {"key": f"old {number}", "created_at": old, **task}
                for number in range(3 * MAX_LIST_ROWS)
            ),
            {"key": "new", "created_at": now, **task},
        ],
        key_usage: [
            *(
                {"key_name": f"k{number}", "day": "2020-01-01", "tasks": 1}
                for number in range(COUNT)
            ),
            {"key_name": "k1", "day": time.strftime("%Y-%m-%d", time.gmtime()), "tasks": 7},
        ],
        run_times: [
            {"shape": f"{n}", "server": "s", "seconds": 1, "nodes": "{}", "updated_at": float(n)}
            for n in range(COUNT)
        ],
    }

    def write(connection: Connection) -> None:
        for table, found in rows.items():
            connection.execute(insert(table), found)

    await database.write(write)
    await Tidying(database).tidy()

    def left(connection: Connection) -> list[int]:
        counts = [select(func.count()).select_from(table) for table in rows]
        return [connection.scalar(count) or 0 for count in counts]

    assert await database.read(left) == [1, 1, SMALL]
    newest = await database.read(lambda c: set(c.scalars(select(run_times.c.shape))))
    assert newest == {str(number) for number in range(COUNT - SMALL, COUNT)}
