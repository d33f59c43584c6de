"""Sockets of clients at several replicas on one Redis: each hears what any replica says to it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest

from app.events.client_channels import Channel, ClientChannels, Mailbox, Message
from app.redis import connect
from tests.conftest import WAIT, wait_until
from tests.redis_server import RedisServer

pytestmark = pytest.mark.service

ALICE = Channel("alice", "client")


@contextlib.asynccontextmanager
async def replica(redis: RedisServer) -> AsyncIterator[ClientChannels]:
    from app.events.redis_channels import RedisChannels  # which needs the optional package

    channels, client = ClientChannels(), connect(redis.url)
    channels.carrier = carrier = RedisChannels(client, channels)
    running = asyncio.create_task(carrier.run())
    try:
        await wait_until(lambda: carrier._is_up)
        yield channels
    finally:
        running.cancel()
        await asyncio.wait([running])
        await client.aclose()


def text(number: int) -> Message:
    return Message("text", "task", "", b'{"type": "n", "data": %d}' % number)


async def listens(channels: ClientChannels, channel: Channel = ALICE) -> None:
    assert channels.carrier is not None
    async with asyncio.timeout(WAIT):
        await channels.carrier.listens(channel)


async def take(mailbox: Mailbox, count: int) -> list[Message]:
    found = []
    async with asyncio.timeout(WAIT):
        while len(found) < count:
            if message := await mailbox.next(WAIT):
                found.append(message)
    return found


async def test_each_socket_of_the_client_hears_all_once_and_in_order(redis: RedisServer) -> None:
    async with replica(redis) as one, replica(redis) as two:
        with one.open(ALICE, "") as here, two.open(ALICE, "") as there:
            await listens(two)
            sent = [*map(text, range(100)), Message("binary", "task", "", b"\0\n\n" * 1000)]
            for message in [*sent, Message("end", "task", "0123")]:
                one.publish(ALICE, message)
            for mailbox in (here, there):
                told = await take(mailbox, 102)
                assert [one.data for one in told[:-1]] == [one.data for one in sent]
                assert [told[-2].kind, told[-1].kind, told[-1].origin] == ["binary", "end", "0123"]
                assert await mailbox.next(0) is None


async def test_nobody_else_hears_it(redis: RedisServer) -> None:
    others = [Channel("bob", "client"), Channel("alice", "other"), Channel(None, "client")]
    async with replica(redis) as one, replica(redis) as two:
        with contextlib.ExitStack() as stack:
            quiet = [stack.enter_context(two.open(channel, "")) for channel in others]
            with two.open(ALICE, "") as mailbox:
                await listens(two)
                one.publish(ALICE, text(1))
                await take(mailbox, 1)
            assert [await one.next(0) for one in quiet] == [None] * 3
            one.publish_count("alice")
            assert (await take(quiet[1], 1))[0].kind == "count"
            assert [await quiet[0].next(0), await quiet[2].next(0)] == [None] * 2


async def test_a_client_that_comes_back_is_heard_at_once(redis: RedisServer) -> None:
    async with replica(redis) as one, replica(redis) as two:
        for number in range(20):
            with two.open(ALICE, "") as mailbox:
                await listens(two)
                one.publish(ALICE, text(number))
                assert (await take(mailbox, 1))[0].data == text(number).data
            await asyncio.sleep(0)


async def test_redis_has_no_names_of_clients(redis: RedisServer) -> None:
    async with replica(redis) as one, connect(redis.url) as client:
        with one.open(Channel("ZQownerQZ", "ZQclientQZ"), ""):
            await listens(one, Channel("ZQownerQZ", "ZQclientQZ"))
            names = await client.pubsub_channels("*")
            assert len(names) == 3
            assert b"ZQ" not in b" ".join(names)
        await wait_until(lambda: _only_one(client))


async def _only_one(client: object) -> bool:
    return len(await client.pubsub_channels("*")) == 1  # type: ignore[attr-defined]


async def test_without_redis_sockets_here_hear_and_all_do_when_it_is_back(
    redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with replica(redis) as one, replica(redis) as two:
        with one.open(ALICE, "") as here, two.open(ALICE, "") as there:
            await listens(two)
            await redis.kill()
            one.publish(ALICE, text(1))
            assert (await take(here, 1))[0].data == text(1).data
            began = time.monotonic()
            await listens(one, Channel("alice", "new"))
            assert time.monotonic() < began + WAIT
            await redis.start()
            number = 1

            async def is_heard() -> bool:
                nonlocal number
                number += 1
                one.publish(ALICE, text(number))
                return await there.next(0.05) is not None

            await wait_until(is_heard)
    assert len([record for record in caplog.records if "cannot be reached" in record.message]) == 2


async def test_what_waits_for_redis_is_bounded(
    redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from app.events import redis_channels

    monkeypatch.setattr(redis_channels, "MOST_WAITING", 10)
    carrier = redis_channels.RedisChannels(connect(redis.url), ClientChannels())
    for number in range(8):
        carrier.send(*ALICE, text(number))
        carrier.send(*ALICE, Message("preview", "task", "", b"x"))
    waiting = [one.message for one in carrier._outbox]
    assert len(waiting) == 10
    assert [one.data for one in waiting if one.kind == "text"] == [text(n).data for n in range(8)]
    monkeypatch.setattr(redis_channels, "MOST_BYTES", 50)
    carrier.send(*ALICE, text(9))
    assert [one.message.data for one in carrier._outbox] == [text(7).data, text(9).data]
