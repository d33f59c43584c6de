"""Nobody's webhooks hold up those of others: by API key, by host, however many there are."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from app.db.engine.database import Database
from app.db.tasks import TaskRepository
from app.outbound.addresses import site_of
from app.outbound.guard import Guard
from app.outbound.transport import Remote
from app.tasks.model import NewTask
from app.tasks.webhook import EVERYWHERE, Webhook
from app.webhooks.deliverer import Deliverer
from app.webhooks.fair_share import Busy, DeliveryPace, DeliverySlots
from app.webhooks.outbox import MAX_BATCH_WEBHOOKS, Outbox
from tests import deliveries
from tests.conftest import wait_until
from tests.integration.test_claims import PROMPT
from tests.receivers import Got, Receiver, Reply, receiving
from tests.rows_read import rows_read

PACE = DeliveryPace(schedule=[0.02] * 50, timeout=30, idle=0.05)


async def done(store: TaskRepository, key: str | None, *webhooks: Webhook) -> None:
    """A task of the key that has ended, and nobody was told yet."""
    new = NewTask(task_id=str(uuid4()), prompt=PROMPT, webhooks=webhooks, owner=key)
    await store.add([new])
    await store.request_cancel(new.task_id)


async def look_up(host: str, port: int) -> list[str]:
    """Every name leads to this machine, as a wildcard in DNS has it."""
    return ["127.0.0.1"]


def delivering(outbox: Outbox, pace: DeliveryPace = PACE) -> AbstractAsyncContextManager[Deliverer]:
    return deliveries.delivering(outbox, Guard(["127.0.0.0/8"], lookup=look_up), pace)


@contextlib.asynccontextmanager
async def stuck() -> AsyncIterator[Receiver]:
    async def never(_: Got) -> Reply:
        await asyncio.sleep(60)
        return Reply()

    async with receiving(never) as receiver:
        yield receiver


async def test_a_key_has_a_part_of_the_places_whatever_hosts_it_names(
    store: TaskRepository, outbox: Outbox
) -> None:
    async with stuck() as slow, receiving() as quick:
        for number in range(60):
            hook = Webhook(f"http://h{number}.example:{slow.port}/")
            await done(store, "greedy", hook)
        for number in range(5):
            hook = Webhook(f"http://other.example:{quick.port}/{number}")
            await done(store, "modest", hook)
        async with delivering(outbox):
            await wait_until(lambda: len(quick.got) == 5)
            await wait_until(lambda: len(slow.got) == PACE.per_key)
            await done(store, "late", Webhook(f"http://late.example:{quick.port}/"))
            await wait_until(lambda: len(quick.got) == 6)
            assert len(slow.got) == PACE.per_key


async def test_a_host_has_a_part_of_the_places_whatever_ports_it_has(
    store: TaskRepository, outbox: Outbox
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        slow = [await stack.enter_async_context(stuck()) for _ in range(12)]
        quick = await stack.enter_async_context(receiving())
        for receiver in slow * 3:
            await done(store, None, Webhook(f"http://Evil.example:{receiver.port}/"))
        await done(store, None, Webhook(f"http://other.example:{quick.port}/"))
        async with delivering(outbox):
            await wait_until(lambda: quick.got)
            asked = sum(len(receiver.got) for receiver in slow)
            assert asked <= PACE.per_host


async def test_keys_take_turns(store: TaskRepository, outbox: Outbox) -> None:
    """One place: after ten of one key comes one of another, not the eleventh."""
    async with receiving() as receiver:
        for _ in range(20):
            await done(store, "much", Webhook(f"http://a.example:{receiver.port}/much"))
        await done(store, "little", Webhook(f"http://b.example:{receiver.port}/little"))
        while await outbox.announce() >= MAX_BATCH_WEBHOOKS:
            pass
        async with delivering(outbox, replace(PACE, parallel=1)):
            await wait_until(lambda: len(receiver.got) == 21)
    assert "/little" in [got.path for got in receiver.got[:3]]


async def test_what_the_operator_is_told_waits_for_nobodys_receivers(
    store: TaskRepository, database: Database, outbox: Outbox
) -> None:
    async with stuck() as slow, receiving() as operator:
        told = Webhook(operator.url, scope=EVERYWHERE)
        for number in range(20):
            await done(store, "greedy", Webhook(f"http://h{number}.example:{slow.port}/"), told)
        guard = Guard(["127.0.0.0/8"], lookup=look_up)
        deliverer = Deliverer(outbox, Remote(guard), PACE, (told, Remote(guard)))
        work = asyncio.create_task(deliverer.run())
        await wait_until(lambda: len(operator.got) == 20)
        assert len(slow.got) <= PACE.per_key
        work.cancel()
        await asyncio.wait([work])


async def test_ends_of_tasks_are_looked_after_for_each_key(
    store: TaskRepository, outbox: Outbox
) -> None:
    for _ in range(MAX_BATCH_WEBHOOKS + 20):
        await done(store, "much", Webhook("http://a.example/"))
    await done(store, "little", Webhook("http://a.example/"))
    assert await outbox.announce() >= MAX_BATCH_WEBHOOKS
    assert set(await outbox.lanes()) == {"much", "little"}


ONE_OF_MANY = text("""
    INSERT INTO deliveries (delivery_id, task_id, webhook, event, host, body, status, tries, log,
        created_at, next_at, lane, place)
    WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100000)
    SELECT 'msg_many_' || n, d.task_id, d.webhook, d.event, d.host, '{}', 'pending', 0, '[]',
        d.created_at, d.next_at - 100, d.lane, d.place
    FROM numbers CROSS JOIN (SELECT * FROM deliveries WHERE lane = 'much') AS d
""")


async def test_a_hundred_thousand_of_one_key_cost_another_nothing(
    store: TaskRepository, database: Database, outbox: Outbox
) -> None:
    await done(store, "much", Webhook("http://a.example/"))
    await outbox.announce()

    def multiply(connection: Connection) -> None:
        connection.execute(ONE_OF_MANY)

    await database.write(multiply, large=True)
    for number in range(20):
        await done(store, f"k{number:02}", Webhook("http://b.example/"))
    await outbox.announce()
    for number in range(20):
        with rows_read() as looked:
            due = await outbox.lanes()
            claimed = await outbox.claim(f"k{number:02}")
        assert claimed is not None
        assert len(due) == 21
        assert 0 < looked.count < 10_000, "it went through what another key has"
    busy = Busy(["a.example"], [])
    assert await outbox.claim("much", busy, large=True) is None
    assert await outbox.claim("much") is not None


async def test_deliveries_of_an_older_gateway_are_made(
    store: TaskRepository, database: Database, outbox: Outbox
) -> None:
    async with receiving() as receiver:
        for _ in range(10):
            await done(store, None, Webhook(receiver.url))
        await outbox.announce()

        def age(connection: Connection) -> None:
            connection.execute(text("UPDATE deliveries SET lane = '', place = ''"))

        await database.write(age)
        async with delivering(outbox):
            await wait_until(lambda: len(set(receiver.ids())) == 10)


# -- pure ---------------------------------------------------------------------------------------


def test_who_is_next() -> None:
    places = DeliverySlots(DeliveryPace(per_key=2, parallel=4))
    now = time.time()
    due = {"a": now - 9, "b": now - 1, "c": now + 60}
    assert places.order(due, now) == ["a", "b"]
    places.begin("a", "h", "h:1")
    assert places.order(due, now) == ["b", "a"]
    places.begin("a", "h", "h:2")
    assert places.order(due, now) == ["b"], "a has all that a key may have"
    places.end("a", "h", "h:1")
    places.begin("b", "h", "h:3")
    assert places.order(due, now) == ["a", "b"], "b had the last turn"
    assert 59 < places.wait({"c": now + 60}, now) + 55 < 61, "it looks at least each idle seconds"


def test_what_is_busy() -> None:
    places = DeliverySlots(DeliveryPace(per_host=2))
    places.begin("a", "h", "h:1")
    assert places.busy == Busy([], [])
    places.note("h:1", success=False)
    assert places.busy == Busy([], ["h:1"])
    places.note("h:1", success=True)
    places.begin("b", "h", "h:2")
    assert places.busy == Busy(["h"], [])
    places.begin("", "", "old:1")
    places.begin("", "", "old:2")
    assert places.busy.hosts == ["h"], "of an older gateway's deliveries the host is not known"
    for lane, host, address in (("a", "h", "h:1"), ("b", "h", "h:2")):
        places.end(lane, host, address)
    assert places.busy == Busy([], [])


def test_without_keys_one_lane_has_all_the_places() -> None:
    places = DeliverySlots(DeliveryPace(per_key=2, parallel=5))
    for lane in ("", "*"):
        for number in range(4):
            places.begin(lane, f"h{number}", f"h{number}")
            assert places.order({lane: 0.0}, 1.0) == [lane]
            places.end(lane, f"h{number}", f"h{number}")


def test_a_look_in_vain_is_not_repeated_at_once() -> None:
    places = DeliverySlots(DeliveryPace())
    places.looked("a", 0.5, found=False)
    assert places.order({"a": 0.0}, 1.0) == []
    assert places.is_slow("a")
    assert 4.9 <= places.wait({"a": 0.0}, 1.0) <= 5.0
    places.looked("a", 0.0001, found=True)
    assert places.order({"a": 0.0}, 1.0) == ["a"]
    assert not places.is_slow("a")


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("http://Example.com:8080/a", "example.com"),
        ("https://example.com", "example.com"),
        ("http://127.0.0.1:1/", "127.0.0.1"),
        ("http://[::1]:80/", "::/64"),
        ("http://[2001:DB8::1]/", "2001:db8::/64"),
        ("http://[2001:db8:0:0:ffff::2]:9/", "2001:db8::/64"),
        ("http://[::ffff:10.0.0.1]/", "10.0.0.1"),
    ],
)
def test_a_host_by_any_spelling(url: str, place: str) -> None:
    assert Webhook(url).place == place


def test_counters_do_not_grow() -> None:
    places = DeliverySlots(DeliveryPace())
    for number in range(1000):
        names = (f"k{number}", f"h{number}", f"h{number}:1")
        places.begin(*names)
        places.looked(names[0], 0.0, found=True)
        places.end(*names)
        places.order({"a": 0.0}, 1.0)
    kept = [value for value in vars(places).values() if isinstance(value, dict | Counter)]
    assert sum(map(len, kept)) == 0
    assert site_of("::1") == "::/64"
