"""Brings updates from replica to replica over Redis.

One capped stream holds what must come in order and may be had again: Redis gives the ids, so they
are the same for all, and a stream resumes at any replica. Previews go by Pub/Sub, and only to where
somebody watches.

Nothing is lost unnoticed: an update comes to the subscribers of a replica, or they are let go. They
are when Redis is lost. What a replica has to tell meanwhile is sent when Redis is back, and before
there are streams again all is read that came into Redis. Each update says which one its replica
sent before: where that is another one than was read, some are missing.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.events.hub import Hub
from app.events.subscription import THINNED, Overrun, Subscription, Type, Update
from app.limits.lru_cache import BoundedCache
from app.redis import TIMEOUT, told

log = logging.getLogger(__name__)

MAX_STREAM_UPDATES = 20_000  # updates in the stream, for replicas that were away or are new
LOOK_BACK = 120.0  # seconds of them that a new replica reads
MOST_WAITING = 20_000  # updates that wait for Redis: more than that, and it counts as lost
MAX_BATCH_UPDATES = 500  # updates of one round trip
BLOCK = 1000  # milliseconds of waiting for news in one request
RETRY = 0.5  # seconds between two tries to reach it
TUNED = 0.25  # seconds between two looks at whose previews are wanted
KNOWN_REPLICAS = 1000  # whose last update is remembered
MISSING = -1  # in place of the number of an update that was never sent

LOST = "Redis cannot be reached: live updates are delayed until it is back."
RESTORED = "Redis is back: live updates come again."


def number_of(entry: bytes) -> int:
    """The id of a stream's entry as one number that rises as it does: microseconds of its clock."""
    milliseconds, _, sequence = entry.partition(b"-")
    return int(milliseconds) * 1000 + int(sequence)


def entry_of(microseconds: int) -> bytes:
    return b"%d-0" % (microseconds // 1000)


class RedisEventBus:
    """The event bus of a hub. All processes that share a database name the same Redis, and the
    same number of its databases."""

    def __init__(self, redis: Redis, hub: Hub) -> None:
        self._redis = redis
        self._hub = hub
        self._origin = uuid4().hex[:12].encode()
        number = redis.connection_pool.connection_kwargs.get("db") or 0
        self._stream = f"comfyui-gateway:{number}:updates"
        self._channel = f"comfyui-gateway:{number}:previews:"
        self._warned = False
        self._position = b""  # the last entry that was read
        self._outbox = self._for_later([])
        self._number = 0  # of the last update that was taken
        self._sent: int | None = None  # the number of the last one that was sent in this session
        self._gap: int | None = None  # the number of an update before which some were dropped
        self._on_its_way: deque[Update] = deque()  # sent, and not yet come back
        self._heard: BoundedCache[bytes, int] = BoundedCache(
            KNOWN_REPLICAS
        )  # last number by origin
        hub.suspend(LOST)  # until the first session

    def send(self, task_id: str, type: Type, data: Mapping[str, Any], image: bytes) -> None:
        if type == "preview" and self._hub.interruption:
            return
        self._number += 1
        update = Update(self._number, task_id, type, data, image)
        if not self._outbox.put(update):  # too many wait; in a session `_write` finds that, too
            self._gap, self._outbox = self._number, self._for_later([update])

    async def run(self) -> None:
        """Carry updates, for ever."""
        while True:
            session = asyncio.create_task(self._session(), name="event bus")
            try:
                await asyncio.wait([session])
            finally:
                session.cancel()
                await asyncio.wait([session])
            self._lose(_first(session.exception()))
            await asyncio.sleep(RETRY)

    async def flush(self) -> None:
        try:
            async with asyncio.timeout(TIMEOUT):
                while not self._hub.interruption and (
                    batch := self._outbox.take(MAX_BATCH_UPDATES)
                ):
                    await self._send(batch)
        except (RedisError, OSError) as error:  # others look for themselves
            log.warning("the last updates did not reach Redis: %s", told(error))

    # -- the connection -------------------------------------------------------------------------

    async def _session(self) -> None:
        """Until Redis is lost."""
        # A connection of its own: the pool would renew one that was cut, and nobody would know.
        async with self._redis.client() as reader:
            await self._begin(reader)
            if not _goes_on():
                return
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(reader), name="event bus: read")
                group.create_task(self._write(self._outbox), name="event bus: write")
                group.create_task(self._watch(), name="event bus: previews")

    async def _begin(self, reader: Redis) -> None:
        """Read all that is there, and then let streams come."""
        seconds, microseconds = await reader.time()
        now = seconds * 1_000_000 + microseconds
        newest: Any = await reader.xrevrange(self._stream, count=1)
        last = number_of(newest[0][0]) if newest else 0
        if not self._position:
            self._position = entry_of(now - round(LOOK_BACK * 1e6))
            self._hub.begin_at(now - 1_000_000)
        elif newest and last < number_of(self._position):
            self._position = newest[0][0]  # another Redis, whose clock is behind
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
        """Send again what has not come back, then what was kept meanwhile."""
        kept = self._for_later([*self._on_its_way, *self._outbox.take(MOST_WAITING)])
        self._on_its_way.clear()
        self._sent = None
        self._outbox = Subscription(None, previews=True, limit=MOST_WAITING)
        self._on_its_way.extend(again := kept.take(MOST_WAITING))
        for first in range(0, len(again), MAX_BATCH_UPDATES):
            await self._send(again[first : first + MAX_BATCH_UPDATES])

    def _for_later(self, updates: Iterable[Update]) -> Subscription:
        """An outbox for while Redis is away: of each task the newest status and progress."""
        kept = _thinning_outbox()
        for update in updates:
            if update.type != "preview" and not kept.put(update):
                self._gap, kept = update.id, _thinning_outbox()
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
            # Not with the first of a session: what is in a Redis that was lost cannot be known.
            **({} if before is None else {"follows": before}),
            "task": update.task_id,
            "type": update.type,
            "data": update.json,
        }

    # -- from Redis -----------------------------------------------------------------------------

    async def _read(self, reader: Redis) -> None:
        while _goes_on():
            await self._read_some(reader, block=BLOCK)
            if len(self._on_its_way) > MOST_WAITING:
                raise Overrun

    async def _read_some(self, reader: Redis, block: int | None = None) -> bool:
        """False if there was nothing."""
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
            return  # it was sent again, as its replica could not know that it had come
        self._heard.put(origin, number)
        follows = int(fields.get(b"follows", before or 0))
        if follows == MISSING:
            is_missing = origin != self._origin  # ours were dropped before there were streams here
        else:
            is_missing = before is not None and follows != before
        if is_missing:
            log.warning("updates of another replica are missing: streams begin anew")
            self._hub.interrupt()
        if origin == self._origin:
            self._is_back(number)
        self._hub.deliver(
            Update(
                number_of(entry),
                fields[b"task"].decode(),
                fields[b"type"].decode(),  # type: ignore[arg-type]
                json.loads(fields[b"data"]),
            )
        )

    def _is_back(self, number: int) -> None:
        while self._on_its_way and self._on_its_way[0].id <= number:
            self._on_its_way.popleft()
        if self._gap is not None and number >= self._gap:
            self._gap = None

    # -- previews -------------------------------------------------------------------------------

    async def _watch(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as listener:
            await listener.subscribe(self._channel)  # it wants at least one
            tuned = 0.0
            while _goes_on():
                if time.monotonic() >= tuned:
                    await self._tune(listener)
                    tuned = time.monotonic() + TUNED
                if message := await listener.get_message(timeout=TUNED):
                    self._show(message["channel"].decode(), message["data"])

    async def _tune(self, listener: PubSub) -> None:
        """Listen to the previews of the tasks that somebody watches here, and no others."""
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
            self._hub.deliver(Update(self._hub.last_id + 1, task_id, "preview", about, image))


def _thinning_outbox() -> Subscription:
    return Subscription(None, previews=True, limit=MOST_WAITING, thinned=(*THINNED, "status"))


def _goes_on() -> bool:
    """False once the task is cancelled: the client swallows that at times."""
    task = asyncio.current_task()
    return task is None or not task.cancelling()


def _first(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
