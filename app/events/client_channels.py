"""Messages of ComfyUI's own protocol on their way to the sockets of one client.

A channel is an API key with a clientId. What is said there is for that client alone. Nothing is
kept for sockets that come later: how a task ended is read from the database (app/api/native).
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol

from app.tasks.model import Status, Task
from app.tasks.native import is_of_address

QUEUE_LIMIT = 1000  # maximum number of undelivered messages of a socket
QUEUE_BYTES = 32 << 20  # maximum size of them

# text: a whole message, as UTF-8. preview: a binary frame of type 4, which a newer one of its node
# may replace. binary: any other binary frame; SaveImageWebsocket's are of type 4. end: the task
# has ended, which is to be read. count: the number of the caller's unfinished tasks has changed.
Kind = Literal["text", "preview", "binary", "end", "count"]


class Channel(NamedTuple):
    owner: str | None  # the name of the API key
    client_id: str


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """`origin`: of the task, see app/tasks/native.py."""

    kind: Kind
    task_id: str = ""
    origin: str = ""
    data: bytes = field(default=b"", repr=False)


class Carrier(Protocol):
    """Brings messages to the sockets at other replicas."""

    def send(self, owner: str | None, client_id: str | None, message: Message) -> None:
        """Queue a message for the channel; without client_id for all of the owner."""
        ...

    async def listens(self, channel: Channel) -> None:
        """Wait until messages for the channel are received, for a second at most."""
        ...

    async def run(self) -> None:
        """Carry messages until cancelled."""
        ...


class Mailbox:
    """The undelivered messages of one socket."""

    def __init__(self, channel: Channel, origin: str) -> None:
        self.channel = channel
        self.origin = origin
        self.overrun = False  # messages were lost: the socket must be closed
        self._waiting: OrderedDict[object, Message] = OrderedDict()
        self._bytes = 0
        self._ready = asyncio.Event()

    def put(self, message: Message) -> None:
        if self.overrun:
            return
        key: object = object()
        if message.kind in ("preview", "count", "end"):
            key = (message.kind, message.task_id)
            self._drop(key)
        self._waiting[key] = message
        self._bytes += len(message.data)
        while self._is_full and self._drop_preview():
            pass
        if self._is_full:
            self.overrun = True
            self._waiting.clear()
        self._ready.set()

    async def next(self, seconds: float) -> Message | None:
        """Return the next message, or None after so many seconds, or if there was an overrun."""
        if not self._waiting and not self.overrun:
            self._ready.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._ready.wait()
            except TimeoutError:
                return None
        if not self._waiting:
            return None
        _, message = self._waiting.popitem(last=False)
        self._bytes -= len(message.data)
        return message

    @property
    def _is_full(self) -> bool:
        return len(self._waiting) > QUEUE_LIMIT or self._bytes > QUEUE_BYTES

    def _drop_preview(self) -> bool:
        key = next((k for k, message in self._waiting.items() if message.kind == "preview"), None)
        return key is not None and self._drop(key)

    def _drop(self, key: object) -> bool:
        if message := self._waiting.pop(key, None):
            self._bytes -= len(message.data)
        return message is not None


class ClientChannels:
    """The open sockets of clients in this process."""

    def __init__(self) -> None:
        self.carrier: Carrier | None = None  # None: there is a single replica
        self._mailboxes: dict[Channel, set[Mailbox]] = {}
        self.on_change: Callable[[], None] = lambda: None  # called when channels come and go

    @property
    def channels(self) -> list[Channel]:
        """The channels with sockets in this process."""
        return list(self._mailboxes)

    def is_heard(self, channel: Channel) -> bool:
        """Return whether a message may reach a socket."""
        return self.carrier is not None or channel in self._mailboxes

    def publish(self, channel: Channel, message: Message) -> None:
        self.deliver(channel, message)
        if self.carrier is not None:
            self.carrier.send(*channel, message)

    def deliver(self, channel: Channel, message: Message) -> None:
        """Deliver a message to sockets of this process: of those from the address that posted the
        prompt, or of all if there are none."""
        for mailbox in self._hearers(channel, message.origin):
            mailbox.put(message)

    def hears(self, mailbox: Mailbox, origin: str) -> bool:
        """Return whether the socket gets the messages of a task that was posted from `origin`."""
        return mailbox in self._hearers(mailbox.channel, origin)

    def _hearers(self, channel: Channel, origin: str) -> Collection[Mailbox]:
        found = self._mailboxes.get(channel, ())
        return [one for one in found if is_of_address(one.origin, origin)] or found

    def publish_count(self, owner: str | None) -> None:
        """Tell all sockets of the caller that its number of unfinished tasks may have changed."""
        self.deliver_count(owner)
        if self.carrier is not None:
            self.carrier.send(owner, None, Message("count"))

    def deliver_count(self, owner: str | None) -> None:
        for channel, mailboxes in self._mailboxes.items():
            if channel.owner == owner:
                for mailbox in mailboxes:
                    mailbox.put(Message("count"))

    def note(self, task: Task) -> None:
        """Tell sockets what a new status of a task means to them; for `Hub.on_status`."""
        if task.native is None or not (task.finished or task.status is Status.QUEUED):
            return
        if task.finished and task.native.client_id is not None:
            end = Message("end", task.task_id, task.native.origin)
            self.publish(Channel(task.owner, task.native.client_id), end)
        self.publish_count(task.owner)

    @contextmanager
    def open(self, channel: Channel, origin: str) -> Iterator[Mailbox]:
        """Receive messages of a channel while the context is open."""
        mailbox = Mailbox(channel, origin)
        self._mailboxes.setdefault(channel, set()).add(mailbox)
        self.on_change()
        try:
            yield mailbox
        finally:
            self._mailboxes[channel].discard(mailbox)
            if not self._mailboxes[channel]:
                del self._mailboxes[channel]
            self.on_change()
