"""Every end of a task is told, on both databases: to receivers that are down, slow, or fail."""

import asyncio
import contextlib
import time
from collections import Counter
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import pytest

from app.auth.model import EVERYBODY
from app.db.engine.database import Database
from app.db.tasks import TaskRepository
from app.outbound.guard import Guard
from app.tasks.model import CancelReason, NewTask, TaskError
from app.tasks.outcome import Canceled, Failed, Succeeded
from app.tasks.webhook import EVENTS, Webhook
from app.webhooks.deliverer import Deliverer
from app.webhooks.fair_share import DeliveryPace
from app.webhooks.outbox import Outbox
from tests import deliveries
from tests.conftest import wait_until
from tests.integration.test_claims import PROMPT, Process
from tests.receivers import Got, Receiver, Reply, receiving

Json = dict[str, Any]

REFUSED = "could not be reached"
FAST = DeliveryPace(schedule=[0.02] * 50, timeout=2, idle=0.05)


@pytest.fixture
def process(database: Database) -> Process:
    return Process(database)


async def add(store: TaskRepository, *webhooks: Webhook) -> str:
    new = NewTask(task_id=str(uuid4()), prompt=PROMPT, webhooks=webhooks)
    return (await store.add([new]))[0].task_id


async def done(store: TaskRepository, *webhooks: Webhook) -> str:
    """A task that has ended, and nobody was told yet."""
    task_id = await add(store, *webhooks)
    await store.request_cancel(task_id)
    return task_id


def delivering(outbox: Outbox, pace: DeliveryPace = FAST) -> AbstractAsyncContextManager[Deliverer]:
    return deliveries.delivering(outbox, Guard(["127.0.0.0/8", "localhost"]), pace)


async def all_deliveries(outbox: Outbox, *statuses: Any) -> list[Json]:
    return (await outbox.page(EVERYBODY, statuses, 1000, None))[0]


async def settled(outbox: Outbox, count: int) -> list[Json]:
    """The deliveries, when there are so many and none is pending."""

    async def look() -> list[Json] | None:
        found = await all_deliveries(outbox)
        pending = any(delivery["status"] == "pending" for delivery in found)
        return found if len(found) == count and not pending else None

    found: list[Json] = await wait_until(look)
    return found


async def test_every_way_to_the_end(
    store: TaskRepository, process: Process, outbox: Outbox
) -> None:
    hook = Webhook("http://127.0.0.1:1/", EVENTS)
    ends: dict[str, list[str]] = {}
    for outcome, event in (
        (Succeeded(), "task.succeeded"),
        (Failed(TaskError("a", "b")), "task.failed"),
        (Canceled(), "task.canceled"),
    ):
        task_id = await add(store, hook)
        claim = await process.claim("s")
        assert claim is not None
        await process.claims.submitted(await store.get(task_id), client_id="c", attempts=[])
        await process.claims.started(await store.get(task_id), time.time())
        assert await outbox.announce([task_id]) == 1
        task = await store.get(task_id)
        await process.claims.settle(task, outcome, [])
        ends[task_id] = ["task.started", event]
    ends[await done(store, hook)] = ["task.canceled"]
    for requeued in (True, False):  # canceled while it was claimed, but not handed over yet
        task_id = await add(store, hook)
        assert await process.claim("s")
        await store.request_cancel(task_id)
        await (process.claims.requeue(task_id, []) if requeued else process.claims.hand_back())
        ends[task_id] = ["task.canceled"]
    waiting = await add(store, hook)
    assert await outbox.announce() == len(ends)
    assert await outbox.announce() == 0
    for task_id, events in ends.items():
        told = await outbox.of_task(EVERYBODY, task_id)
        assert [delivery["event"] for delivery in told] == events
    assert await outbox.of_task(EVERYBODY, waiting) == []


async def test_tasks_that_wait_are_not_looked_for(
    store: TaskRepository, outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Any] = []

    async def announce(_: Outbox, task_ids: Any = None) -> int:
        looked.append(task_ids)
        return 0

    monkeypatch.setattr(Outbox, "announce", announce)
    waiting = await store.get(await add(store))
    ended = await store.get(await done(store))
    async with delivering(outbox, replace(FAST, idle=60)) as deliverer:
        await wait_until(lambda: looked)
        deliverer.look_at(waiting)
        deliverer.look_at(replace(waiting, task_id="began", started_at=1.0))
        deliverer.look_at(ended)
        await wait_until(lambda: len(looked) > 1)
    assert looked == [None, {"began", ended.task_id}]


async def test_only_what_was_asked_for(store: TaskRepository, outbox: Outbox) -> None:
    task_id = await done(store, Webhook("http://127.0.0.1:1/", ("task.succeeded",)))
    assert await outbox.announce() == 1
    assert await outbox.of_task(EVERYBODY, task_id) == []
    assert await outbox.announce([task_id]) == 0


async def test_a_receiver_that_is_down_slow_failing_and_then_well(
    store: TaskRepository, outbox: Outbox
) -> None:
    async with receiving() as closed:
        port = closed.port
    hook = Webhook(f"http://127.0.0.1:{port}/hook", secret=None)
    tasks = {await done(store, hook) for _ in range(10)}
    effects: dict[str, Json] = {}
    trouble = iter(["slow", "500", "slow", *["500"] * 20])

    async def handler(got: Got) -> Reply:
        match next(trouble, "well"):
            case "slow":
                await asyncio.sleep(60)
            case "500":
                return Reply(500, b"not today")
        effects.setdefault(got.headers["webhook-id"], got.headers)
        return Reply(204)

    async with delivering(outbox, replace(FAST, timeout=1)) as deliverer:
        for task_id in tasks:
            deliverer.changed(task_id)

        async def tried() -> bool:
            found = await all_deliveries(outbox)
            attempts = [attempt for delivery in found for attempt in delivery["attempts"]]
            return len(found) == 10 and any(REFUSED in (one["error"] or "") for one in attempts)

        await wait_until(tried)
        async with receiving(handler, port=port) as server:
            found = await settled(outbox, 10)
            assert set(server.ids()) == {delivery["delivery_id"] for delivery in found}
    assert {delivery["task_id"] for delivery in found} == tasks
    assert {delivery["status"] for delivery in found} == {"delivered"}
    assert set(effects) == {delivery["delivery_id"] for delivery in found}
    logs = [attempt for delivery in found for attempt in delivery["attempts"]]
    assert {attempt["status_code"] for attempt in logs} == {None, 500, 204}
    assert any(REFUSED in (attempt["error"] or "") for attempt in logs)
    assert any("no answer within" in (attempt["error"] or "") for attempt in logs)
    assert any(attempt["response"] == "not today" for attempt in logs)


async def test_a_slow_receiver_holds_up_nobody(store: TaskRepository, outbox: Outbox) -> None:
    async def stuck(_: Got) -> Reply:
        await asyncio.sleep(60)
        return Reply()

    async with receiving(stuck) as slow, receiving() as quick:
        for _ in range(30):
            await done(store, Webhook(slow.url))
        for _ in range(20):
            await done(store, Webhook(quick.url.replace("127.0.0.1", "localhost")))
        pace = replace(FAST, timeout=30, parallel=6, per_host=3)
        async with delivering(outbox, pace):
            await wait_until(lambda: len(set(quick.ids())) == 20)
            assert len(slow.got) <= 3


async def test_several_processes_share_the_work(
    database: Database,
    store: TaskRepository,
) -> None:
    async with receiving() as server, contextlib.AsyncExitStack() as stack:
        tasks = [await done(store, Webhook(server.url)) for _ in range(60)]
        outboxes = [Outbox(database, f"host:{n}:x", lease_seconds=60) for n in range(3)]
        for each in outboxes:
            await stack.enter_async_context(delivering(each))
        found = await settled(outboxes[0], 60)
        assert {delivery["task_id"] for delivery in found} == set(tasks)
        assert set(Counter(server.ids()).values()) == {1}


async def test_another_process_takes_over_when_the_lease_ends(
    database: Database,
    store: TaskRepository,
    outbox: Outbox,
) -> None:
    async with receiving() as server:
        await done(store, Webhook(server.url))
        await outbox.announce()
        silent = Outbox(database, "otherhost:1:x", lease_seconds=0.3)
        taken = await silent.claim()
        assert taken is not None
        assert await outbox.claim() is None
        async with delivering(outbox):
            await settled(outbox, 1)
        assert server.ids() == [taken.delivery_id]


async def test_gone_and_out_of_tries_are_dead_and_can_be_replayed(
    store: TaskRepository, outbox: Outbox
) -> None:
    server: Receiver
    async with receiving() as server:
        server.handler = lambda got: Reply(410 if got.path == "/gone" else 500)
        for path in ("/gone", "/bad"):
            await done(store, Webhook(server.url + path))
        async with delivering(outbox, replace(FAST, schedule=[0.01, 0.01])) as deliverer:
            found = await settled(outbox, 2)
            assert {delivery["status"] for delivery in found} == {"dead"}
            assert Counter(got.path for got in server.got) == {"/gone": 1, "/bad": 3}
            server.handler = lambda _: Reply(200)
            for delivery in found:
                replayed = await outbox.replay(EVERYBODY, delivery["delivery_id"])
                assert replayed["status"] == "pending"
            deliverer.wake()
            again = await settled(outbox, 2)
    assert {delivery["status"] for delivery in again} == {"delivered"}
    assert len(set(server.ids())) == 2, "a replay has the same webhook-id"
    assert sorted(len(delivery["attempts"]) for delivery in again) == [2, 4]


async def test_retry_after_is_waited_for(store: TaskRepository, outbox: Outbox) -> None:
    async with receiving(lambda _: Reply(429, headers={"retry-after": "600"})) as server:
        await done(store, Webhook(server.url))
        async with delivering(outbox):
            await wait_until(lambda: server.got)

            async def waits() -> bool:
                next_at = (await outbox.lanes()).get("")
                return next_at is not None and 590 < next_at - time.time() <= 600

            await wait_until(waits)
        assert len(server.got) == 1


async def test_they_go_with_their_task(store: TaskRepository, outbox: Outbox) -> None:
    task_id = await done(store, Webhook("http://127.0.0.1:1/"))
    await done(store, Webhook("http://127.0.0.1:1/"))
    await outbox.announce()
    assert len(await all_deliveries(outbox)) == 2
    await store.delete([task_id])
    assert len(await all_deliveries(outbox)) == 1
    assert await store.beside(task_id) == (None, None)


async def test_pages(store: TaskRepository, outbox: Outbox) -> None:
    tasks = [await done(store, Webhook("http://127.0.0.1:1/")) for _ in range(5)]
    for task_id in tasks:
        await outbox.announce([task_id])
    first, cursor = await outbox.page(EVERYBODY, (), 3, None)
    second, end = await outbox.page(EVERYBODY, (), 3, cursor)
    assert [delivery["task_id"] for delivery in (*first, *second)] == tasks[::-1]
    assert (len(first), end) == (3, None)


async def test_a_cancel_in_the_middle_is_no_loss(
    store: TaskRepository, process: Process, outbox: Outbox
) -> None:
    """A task that is canceled while it runs is told once, at its end."""
    task_id = await add(store, Webhook("http://127.0.0.1:1/"))
    assert await process.claim("s")
    await process.claims.submitted(await store.get(task_id), client_id="c", attempts=[])
    await process.claims.cancel_owned(await store.get(task_id), CancelReason.REQUEST)
    assert await outbox.announce() == 0
    await process.claims.settle(await store.get(task_id), Canceled(), [])
    assert await outbox.announce() == 1
