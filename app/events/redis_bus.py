"""Brings updates from replica to replica over Redis.

One capped stream holds what must come in order and may be had again: Redis gives the ids, so they
are the same for all, and a stream resumes at any replica. Previews go by Pub/Sub, and only to where
somebody watches. While Redis is away each replica tells its own subscribers what it does itself;
for the rest see app/scheduler/stream_reconciler.py.
"""

import asyncio
import json
import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.events.hub import Hub
from app.events.subscription import Overrun, Subscription, Type, Update
from app.redis import TIMEOUT, told

log = logging.getLogger(__name__)

MAX_STREAM_UPDATES = 20_000  # updates in the stream, for replicas that were away or are new
LOOK_BACK = 120.0  # seconds of them that a new replica reads
MOST_WAITING = 20_000  # updates that wait for Redis: more than that, and it counts as lost
MAX_BATCH_UPDATES = 500  # updates of one round trip
BLOCK = 1000  # milliseconds of waiting for news in one request
RETRY = 0.5  # seconds between two tries to reach it
TUNED = 0.25  # seconds between two looks at whose previews are wanted

LOST = "Redis cannot be reached: tasks that other processes drive are looked at once a second."
RESTORED = "Redis is back: updates come as they happen."


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
        self._up = False
        self._position = b""  # the last entry that was read
        self._outbox = self._new_outbox()
        self._number = 0  # of the last update that was taken
        self._on_its_way: deque[Update] = deque()  # sent, and not yet come back

    def send(self, task_id: str, type: Type, data: Mapping[str, Any], image: bytes) -> bool:
        if not self._up:
            return False
        self._number += 1
        self._outbox.put(Update(self._number, task_id, type, data, image))
        return True

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
                while self._up and (batch := self._outbox.take(MAX_BATCH_UPDATES)):
                    await self._send(batch)
        except (RedisError, OSError) as error:  # others look for themselves
            log.warning("the last updates did not reach Redis: %s", told(error))

    # -- the connection -------------------------------------------------------------------------

    async def _begin(self) -> None:
        seconds, microseconds = await self._redis.time()
        now = seconds * 1_000_000 + microseconds
        newest: Any = await self._redis.xrevrange(self._stream, count=1)
        if not self._position:
            self._position = entry_of(now - round(LOOK_BACK * 1e6))
            self._hub.begin_at(now - 1_000_000)
        elif newest and number_of(newest[0][0]) < number_of(self._position):
            self._position = newest[0][0]  # another Redis, whose clock is behind
        elif not newest and now < number_of(self._position):
            self._position = b"0-0"
        self._outbox = self._new_outbox()
        self._up = True
        if self._hub.notice:
            log.info(RESTORED)
            self._hub.restore("live_updates_restored", RESTORED)

    async def _session(self) -> None:
        """Until Redis is lost."""
        await self._begin()
        if not _goes_on():
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._read(), name="event bus: read")
            group.create_task(self._write(), name="event bus: write")
            group.create_task(self._watch(), name="event bus: previews")

    def _lose(self, error: BaseException | None) -> None:
        """What did not come back is told here, so that our own subscribers miss nothing."""
        self._up = False
        while self._on_its_way:
            self._deliver_here(self._on_its_way.popleft())
        for update in self._outbox.take(MOST_WAITING):
            if update.type != "preview":  # that was shown at once
                self._deliver_here(update)
        if not isinstance(error, RedisError | OSError | Overrun):
            log.error("updates cannot be carried", exc_info=error)
        if not self._hub.notice:
            log.warning("%s (%s)", LOST, told(error))
            self._hub.lose("live_updates_delayed", LOST)

    def _deliver_here(self, update: Update) -> None:
        number = self._hub.last_id + 1
        self._hub.deliver(Update(number, update.task_id, update.type, update.data))

    def _new_outbox(self) -> Subscription:
        return Subscription(None, previews=True, limit=MOST_WAITING)

    # -- to Redis -------------------------------------------------------------------------------

    async def _write(self) -> None:
        while _goes_on():
            first = await self._outbox.get()
            await self._send([first, *self._outbox.take(MAX_BATCH_UPDATES - 1)])

    async def _send(self, batch: list[Update]) -> None:
        self._on_its_way.extend(update for update in batch if update.type != "preview")
        async with self._redis.pipeline(transaction=False) as pipe:
            for update in batch:
                if update.type == "preview":
                    head = json.dumps([self._origin.decode(), update.data]).encode()
                    pipe.publish(self._channel + update.task_id, head + b"\n" + update.image)
                else:
                    pipe.xadd(self._stream, self._fields(update), maxlen=MAX_STREAM_UPDATES)
            await pipe.execute()

    def _fields(self, update: Update) -> dict[Any, Any]:
        return {
            "from": self._origin,
            "number": update.id,
            "task": update.task_id,
            "type": update.type,
            "data": update.json,
        }

    # -- from Redis -----------------------------------------------------------------------------

    async def _read(self) -> None:
        while _goes_on():
            found: Any = await self._redis.xread(
                {self._stream: self._position}, count=MAX_BATCH_UPDATES, block=BLOCK
            )
            for _, entries in found or ():
                for entry, fields in entries:
                    self._position = entry
                    self._take(entry, fields)
            if len(self._on_its_way) > MOST_WAITING:
                raise Overrun

    def _take(self, entry: bytes, fields: dict[bytes, bytes]) -> None:
        if fields[b"from"] == self._origin and not self._is_back(int(fields[b"number"])):
            return  # it was told here when Redis went away
        self._hub.deliver(
            Update(
                number_of(entry),
                fields[b"task"].decode(),
                fields[b"type"].decode(),  # type: ignore[arg-type]
                json.loads(fields[b"data"]),
            )
        )

    def _is_back(self, number: int) -> bool:
        """Whether we wait for it. They come back in the order in which they were sent."""
        while self._on_its_way and self._on_its_way[0].id < number:
            self._deliver_here(self._on_its_way.popleft())
        if not self._on_its_way or self._on_its_way[0].id != number:
            return False
        self._on_its_way.popleft()
        return True

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


def _goes_on() -> bool:
    """False once the task is cancelled: the client swallows that at times."""
    task = asyncio.current_task()
    return task is None or not task.cancelling()


def _first(error: BaseException | None) -> BaseException | None:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
