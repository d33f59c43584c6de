"""Carries updates between replicas over Redis.

One capped Redis stream holds the updates that need an order and can be replayed. Redis assigns the
ids, so they are the same everywhere, and a client can resume at any replica. Previews use Pub/Sub,
and only for tasks that are followed with previews.

No update is lost unnoticed: a replica's subscribers get it, or their streams end. They end when
Redis is lost. A replica keeps its updates meanwhile and sends them when Redis is back; streams are
allowed again once everything in Redis has been read. Each update names the one that its replica
sent before: if that is not the one that was read last, some are missing.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.events.hub import Hub
from app.events.subscription import Overrun, Subscription, Update, made
from app.limits.lru_cache import BoundedCache
from app.limits.periodic import cancel_all
from app.redis import TIMEOUT, told

log = logging.getLogger(__name__)

MAX_STREAM_UPDATES = 20_000  # length of the stream, for replicas that were away or are new
LOOK_BACK = 120.0  # seconds of updates that a new replica reads
MOST_WAITING = 20_000  # updates waiting for Redis; with more, Redis counts as lost
MAX_BATCH_UPDATES = 500  # updates sent in one round trip
BLOCK = 1000  # milliseconds that one XREAD waits
RETRY = 0.5  # seconds between two attempts to connect
TUNED = 0.25  # seconds between two updates of the preview subscriptions
KNOWN_REPLICAS = 1000  # replicas whose last update number is remembered
MISSING = -1  # in place of the number of an update that was never sent

LOST = "Redis cannot be reached: live streams are refused until it is back; polls go on."
RESTORED = "Redis is back: live streams are taken again."


def number_of(entry: bytes) -> int:
    """Return an entry's id as one increasing number, in microseconds of Redis's clock."""
    milliseconds, _, sequence = entry.partition(b"-")
    return int(milliseconds) * 1000 + int(sequence)


def entry_of(microseconds: int) -> bytes:
    return b"%d-0" % (microseconds // 1000)


class RedisEventBus:
    """The event bus of a hub, over the Redis database that all replicas share."""

    def __init__(self, redis: Redis, hub: Hub) -> None:
        self._redis = redis
        self._hub = hub
        self._origin = uuid4().hex[:12].encode()
        number = redis.connection_pool.connection_kwargs.get("db") or 0
        self._stream = f"comfyui-gateway:{number}:updates"
        self._channel = f"comfyui-gateway:{number}:previews:"
        self._warned = False
        self._position = b""  # id of the last entry that was read
        self._outbox = self._for_later([])
        self._number = 0  # number of the last update that was queued
        self._sent: int | None = None  # number of the last update sent in this session
        self._gap: int | None = None  # number of an update before which some were dropped
        self._on_its_way: deque[Update] = deque()  # sent, but not read back yet
        # origin -> number of its last update
        self._heard: BoundedCache[bytes, int] = BoundedCache(KNOWN_REPLICAS)
        hub.suspend(LOST)  # until the first session has begun

    def send(self, update: Update) -> None:
        if update.type == "preview" and self._hub.interruption:
            return
        self._number += 1
        update = replace(update, id=self._number)
        # Too many wait; during a session `_write` raises for the same reason
        if not self._outbox.put(update):
            self._gap, self._outbox = self._number, self._for_later([update])

    async def run(self) -> None:
        """Carry updates until cancelled; reconnect when Redis is lost."""
        while True:
            session = asyncio.create_task(self._session(), name="event bus")
            try:
                await asyncio.wait([session])
            finally:
                await cancel_all([session])
            self._lose(_first(session.exception()))
            await asyncio.sleep(RETRY)

    async def flush(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                while not self._hub.interruption and (
                    batch := self._outbox.take(MAX_BATCH_UPDATES)
                ):
                    await self._send(batch)
        except (RedisError, OSError) as error:  # the other replicas find the changes by polling
            log.warning("the last updates did not reach Redis: %s", told(error))

    # -- the connection -------------------------------------------------------------------------

    async def _session(self) -> None:
        """Carry updates until Redis is lost."""
        # A dedicated connection: the pool would silently replace one that was cut.
        async with self._redis.client() as reader:
            await self._begin(reader)
            if not _goes_on():
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(reader), name="event bus: read")
                group.create_task(self._write(self._outbox), name="event bus: write")
                group.create_task(self._watch(), name="event bus: previews")

    async def _begin(self, reader: Redis) -> None:
        """Read everything that is in the stream, then allow streams."""
        seconds, microseconds = await reader.time()
        now = seconds * 1_000_000 + microseconds
        newest: Any = await reader.xrevrange(self._stream, count=1)
        last = number_of(newest[0][0]) if newest else 0
        if not self._position:
            self._position = entry_of(now - round(LOOK_BACK * 1e6))
            self._hub.begin_at(now - 1_000_000)
        elif newest and last < number_of(self._position):
            self._position = newest[0][0]  # a different Redis, whose clock is behind
        elif not newest and now < number_of(self._position):
            self._position = b"0-0"
        while number_of(self._position) < last and await self._read_some(reader):
            pass
        await self._take_up()
        self._hub.resume()
        if self._warned:
            log.info(RESTORED)
            self._warned = False

    async def _take_up(self) -> None:
        """Send again what was not read back, then what was kept while Redis was away."""
        kept = self._for_later([*self._on_its_way, *self._outbox.take(MOST_WAITING)])
        self._on_its_way.clear()
        self._sent = None
        self._outbox = _new_outbox()
        self._on_its_way.extend(again := kept.take(MOST_WAITING))
        for first in range(0, len(again), MAX_BATCH_UPDATES):
            await self._send(again[first : first + MAX_BATCH_UPDATES])

    def _for_later(self, updates: Iterable[Update]) -> Subscription:
        """Return an outbox for the time without Redis, with all of these but previews."""
        kept = _new_outbox()
        for update in updates:
            if update.type != "preview" and not kept.put(update):
                self._gap, kept = update.id, _new_outbox()
                kept.put(update)
        return kept

    def _lose(self, error: BaseException | None) -> None:
        self._hub.suspend(LOST)
        if not isinstance(error, RedisError | OSError | Overrun):
            log.error("updates cannot be carried", exc_info=error)
        if not self._warned:
            log.warning("%s (%s)", LOST, told(error))
            self._warned = True
            self._outbox = self._for_later(self._outbox.take(MOST_WAITING))

    # -- to Redis -------------------------------------------------------------------------------

    async def _write(self, outbox: Subscription) -> None:
        while _goes_on():
            first = await outbox.get()
            batch = [first, *outbox.take(MAX_BATCH_UPDATES - 1)]
            self._on_its_way.extend(update for update in batch if update.type != "preview")
            await self._send(batch)

    async def _send(self, batch: Sequence[Update]) -> None:
        async with self._redis.pipeline(transaction=False) as pipe:
            for update in batch:
                if update.type == "preview":
                    head = json.dumps([self._origin.decode(), update.data]).encode()
                    pipe.publish(self._channel + update.task_id, head + b"\n" + update.image)
                else:
                    pipe.xadd(self._stream, self._fields(update), maxlen=MAX_STREAM_UPDATES)
            await pipe.execute()

    def _fields(self, update: Update) -> dict[Any, Any]:
        before, self._sent = self._sent, update.id
        if self._gap is not None and (before or 0) < self._gap <= update.id:
            before = MISSING
        return {
            "from": self._origin,
            "number": update.id,
            # Omitted from the first update of a session: what a lost Redis still holds is unknown.
            **({} if before is None else {"follows": before}),
            "task": update.task_id,
            "type": update.type,
            "born": update.born or "",
            "data": update.json,
        }

    # -- from Redis -----------------------------------------------------------------------------

    async def _read(self, reader: Redis) -> None:
        while _goes_on():
            await self._read_some(reader, block=BLOCK)
            if len(self._on_its_way) > MOST_WAITING:
                raise Overrun

    async def _read_some(self, reader: Redis, block: int | None = None) -> bool:
        """Read entries and deliver them; return False if there were none."""
        found: Any = await reader.xread(
            {self._stream: self._position}, count=MAX_BATCH_UPDATES, block=block
        )
        for _, entries in found or ():
            for entry, fields in entries:
                self._position = entry
                self._take(entry, fields)
        return bool(found)

    def _take(self, entry: bytes, fields: dict[bytes, bytes]) -> None:
        origin, number = fields[b"from"], int(fields[b"number"])
        before = self._heard.get(origin)
        if before is not None and number <= before:
            return  # sent twice: its replica could not know that the first had arrived
        self._heard.put(origin, number)
        follows = int(fields.get(b"follows", before or 0))
        if follows == MISSING:
            is_missing = origin != self._origin  # ours were dropped while there were no streams
        else:
            is_missing = before is not None and follows != before
        if is_missing:
            log.warning("updates of another replica are missing: streams begin anew")
            self._hub.interrupt()
        if origin == self._origin:
            self._is_back(number)
        data = json.loads(fields[b"data"])
        update = Update(
            number_of(entry),
            fields[b"task"].decode(),
            fields[b"type"].decode(),  # type: ignore[arg-type]
            made(data),
            born=fields.get(b"born", b"").decode() or None,
            is_end=fields[b"type"] == b"status" and data.get("finished_at") is not None,
        )
        self._hub.deliver(update)

    def _is_back(self, number: int) -> None:
        while self._on_its_way and self._on_its_way[0].id <= number:
            self._on_its_way.popleft()
        if self._gap is not None and number >= self._gap:
            self._gap = None

    # -- previews -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as listener:
            await listener.subscribe(self._channel)  # get_message needs at least one subscription
            tuned = 0.0
            while _goes_on():
                if time.monotonic() >= tuned:
                    await self._tune(listener)
                    tuned = time.monotonic() + TUNED
                if message := await listener.get_message(timeout=TUNED):
                    self._show(message["channel"].decode(), message["data"])

    async def _tune(self, listener: PubSub) -> None:
        """Subscribe to previews of tasks that are followed with previews here, and no others."""
        everything = f"{self._channel}*"
        if self._hub.watches_all(previews=True):
            wanted = {self._channel}
            if not listener.patterns:
                await listener.psubscribe(everything)
        else:
            wanted = {self._channel, *map(self._channel.__add__, self._hub.watched(previews=True))}
            if listener.patterns:
                await listener.punsubscribe(everything)
        heard = {channel.decode() for channel in listener.channels}
        if new := wanted - heard:
            await listener.subscribe(*new)
        if old := heard - wanted:
            await listener.unsubscribe(*old)

    def _show(self, channel: str, data: bytes) -> None:
        head, _, image = data.partition(b"\n")
        origin, about = json.loads(head)
        if origin != self._origin.decode():
            task_id = channel.removeprefix(self._channel)
            self._hub.deliver(Update(self._hub.last_id + 1, task_id, "preview", made(about), image))


def _new_outbox() -> Subscription:
    return Subscription(None, previews=True, limit=MOST_WAITING)


def _goes_on() -> bool:
    """Return False once the task is cancelled: the client sometimes swallows CancelledError."""
    task = asyncio.current_task()
    return task is None or not task.cancelling()


def _first(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
