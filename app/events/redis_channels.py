"""Carries messages to sockets of clients between replicas, over Redis Pub/Sub.

Each replica subscribes to the clients that have sockets there, and to their owners; names in Redis
are digests. What is sent while nobody listens, or while Redis is away for long, is lost, as with
ComfyUI: sockets look for ends in the database as well. Sockets at the replica that runs a task do
not need Redis.
"""

import asyncio
import json
import logging
import time
from collections import deque
from contextlib import suppress
from typing import NamedTuple
from uuid import uuid4

from blake3 import blake3
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from app.events.client_channels import Channel, ClientChannels, Message
from app.limits.periodic import cancel_all
from app.redis import told

log = logging.getLogger(__name__)

MOST_WAITING = 5_000  # messages that wait for Redis
MOST_BYTES = 32 << 20  # their size
MAX_BATCH = 200  # messages sent in one round trip
STALE = 5.0  # seconds after which a message that waits is not sent any more
HEARD_WITHIN = 1.0  # seconds that a new socket waits for its subscription
READ = 1.0  # seconds that one read waits
RETRY = 0.5  # seconds between two attempts to connect

LOST = "Redis cannot be reached: sockets of ComfyUI's own protocol hear of tasks here only."


class _Waiting(NamedTuple):
    since: float
    name: str
    message: Message


class RedisChannels:
    """The carrier of the channels of one process."""

    def __init__(self, redis: Redis, channels: ClientChannels) -> None:
        self._redis = redis
        self._channels = channels
        number = redis.connection_pool.connection_kwargs.get("db") or 0
        self._prefix = f"comfyui-gateway:{number}:clients:"
        self._origin = uuid4().hex[:12]
        self._outbox: deque[_Waiting] = deque()
        self._bytes = 0
        self._filled = asyncio.Event()
        self._changed = asyncio.Event()  # channels came or went
        self._names: dict[str, tuple[str | None, str | None]] = {}  # owner and client_id
        self._heard: set[str] = set()  # names whose subscription Redis has confirmed
        self._confirmed = asyncio.Event()  # replaced with each confirmation
        self._is_up = self._is_warned = False
        channels.on_change = self._changed.set

    def send(self, owner: str | None, client_id: str | None, message: Message) -> None:
        self._outbox.append(_Waiting(time.monotonic(), self._name(owner, client_id), message))
        self._bytes += len(message.data)
        while len(self._outbox) > MOST_WAITING or self._bytes > MOST_BYTES:
            self._drop_one()
        self._filled.set()

    async def listens(self, channel: Channel) -> None:
        wanted = {self._name(*channel), self._name(channel.owner, None)}
        self._changed.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARD_WITHIN):
                while self._is_up and not wanted <= self._heard:
                    await self._confirmed.wait()

    async def run(self) -> None:
        """Carry messages until cancelled; reconnect when Redis is lost."""
        while True:
            session = asyncio.create_task(self._session(), name="client channels")
            try:
                await asyncio.wait([session])
            finally:
                await cancel_all([session])
                self._is_up = False
                self._heard.clear()
                self._pulse()
            self._lose(session.exception())
            await asyncio.sleep(RETRY)

    # -- the connection ---------------------------------------------------------------------------

    async def _session(self) -> None:
        """Carry messages until Redis is lost."""
        async with self._redis.pubsub() as listener:
            await listener.subscribe(self._prefix)  # it needs at least one subscription
            self._changed.set()
            self._is_up = True
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(listener), name="client channels: read")
                group.create_task(self._tune(listener), name="client channels: tune")
                group.create_task(self._write(), name="client channels: write")

    def _lose(self, error: BaseException | None) -> None:
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if not isinstance(error, RedisError | OSError):
            log.error("messages to clients cannot be carried", exc_info=error)
        if not self._is_warned:
            log.warning("%s (%s)", LOST, told(error))
            self._is_warned = True

    # -- to Redis ---------------------------------------------------------------------------------

    def _name(self, owner: str | None, client_id: str | None) -> str:
        whose = json.dumps([owner, client_id]).encode()
        return self._prefix + blake3(whose).hexdigest()[:32]

    def _drop_one(self) -> None:
        """Drop the oldest preview, or the oldest message if there is none."""
        kinds = (waiting.message.kind for waiting in self._outbox)
        place = next((place for place, kind in enumerate(kinds) if kind == "preview"), 0)
        self._bytes -= len(self._outbox[place].message.data)
        del self._outbox[place]

    async def _write(self) -> None:
        while _goes_on():
            await self._filled.wait()
            self._filled.clear()
            while self._outbox:
                await self._send_some()

    async def _send_some(self) -> None:
        oldest = time.monotonic() - STALE
        async with self._redis.pipeline(transaction=False) as pipe:
            for _ in range(min(MAX_BATCH, len(self._outbox))):
                since, name, message = self._outbox.popleft()
                self._bytes -= len(message.data)
                if since >= oldest:
                    head = [self._origin, message.kind, message.task_id, message.origin]
                    pipe.publish(name, json.dumps(head).encode() + b"\n" + message.data)
            await pipe.execute()
        self._is_warned = False

    # -- from Redis -------------------------------------------------------------------------------

    async def _tune(self, listener: PubSub) -> None:
        """Subscribe to the channels with sockets in this process, and no others."""
        while _goes_on():
            await self._changed.wait()
            self._changed.clear()
            before = set(self._names)
            channels = self._channels.channels
            everyone = {*channels, *((channel.owner, None) for channel in channels)}
            self._names = {self._name(*whose): whose for whose in everyone}
            if new := self._names.keys() - (before & self._heard):
                await listener.subscribe(*new)
            if old := before - self._names.keys():
                self._heard -= old
                await listener.unsubscribe(*old)

    async def _read(self, listener: PubSub) -> None:
        while _goes_on():
            if message := await listener.get_message(timeout=READ):
                self._take(message["type"], message["channel"].decode(), message["data"])

    def _take(self, type: str, name: str, data: bytes) -> None:
        if name not in self._names or type == "unsubscribe":
            return
        if type == "subscribe":
            self._heard.add(name)
            self._pulse()
        else:
            head, _, body = data.partition(b"\n")
            origin, kind, task_id, of_address = json.loads(head)
            if origin != self._origin:
                self._deliver(*self._names[name], Message(kind, task_id, of_address, body))

    def _deliver(self, owner: str | None, client_id: str | None, message: Message) -> None:
        if client_id is None:
            self._channels.deliver_count(owner)
        else:
            self._channels.deliver(Channel(owner, client_id), message)

    def _pulse(self) -> None:
        confirmed, self._confirmed = self._confirmed, asyncio.Event()
        confirmed.set()


def _goes_on() -> bool:
    """Return False once the task is cancelled: the client sometimes swallows CancelledError."""
    task = asyncio.current_task()
    return task is None or not task.cancelling()
