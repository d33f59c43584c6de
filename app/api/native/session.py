"""One socket of ComfyUI's own protocol: what it is sent, and what it says.

All is sent by one task, in the order in which it was published. How a task ended is read when that
is announced, so that its history can be read before the client is told.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import SQLAlchemyError
from starlette.websockets import WebSocket

from app.api.native import ends, frames
from app.api.native.outlet import Outlet
from app.api.native.server import common_features, own_features
from app.api.websocket_session import MOST_VALUES, SendRate
from app.db.engine.errors import is_away
from app.db.native_ends import End, Posted
from app.errors import GatewayError
from app.events.client_channels import Mailbox, Message
from app.events.subscription import Closed, Ended, Subscription
from app.gateway import Gateway
from app.limits.json_types import Json
from app.limits.lru_cache import BoundedCache
from app.limits.worker_threads import Breaths
from app.tasks.native import is_of_address
from app.workflows.json_text import check_values, parse_json

SILENCE = 20.0  # seconds without a message after which `status` is sent: some wait 30
COUNTED = 0.1  # seconds between two messages because of a changed count
AGAIN = 1.0  # seconds after which what the database did not answer is asked again
MOST_TOLD = 1000  # ends that a socket is known to have been sent
MOST_AT_WORK = 100  # tasks of the client that are known to run
ASKED = 2.0  # seconds for which servers are asked what they support
CLOCKS = 5.0  # seconds by which clocks of replicas may differ


class NativeSession:
    """One connected client."""

    def __init__(self, socket: WebSocket, gateway: Gateway, mailbox: Mailbox) -> None:
        self._socket = socket
        self._gateway = gateway
        self._mailbox = mailbox
        self._channel = mailbox.channel
        self._outlet = Outlet(socket)
        self._ends = gateway.native_ends
        self._opened = time.time()
        self._remaining = 0  # the count that was told last
        self._told_at = 0.0  # when it was told
        self._count_at: float | None = None  # when a changed count is due
        self._look_at: float | None = None  # when untold ends are looked for, besides in silence
        self._told: BoundedCache[str, bool] = BoundedCache(MOST_TOLD)
        self._at_work: dict[str, None] = {}  # ids of tasks; the one that began first is the first
        self._takes_metadata = False  # a feature flag of the client
        self._said_something = False  # its flags come first, or count for nothing

    # -- sending --------------------------------------------------------------------------------

    async def send(self) -> None:
        """Send messages until there are too many that the client has not read."""
        await self._greet()
        breaths = Breaths()
        while not self._mailbox.overrun:
            if (message := await self._mailbox.next(self._patience())) is not None:
                await self._pass_on(message)
            await self._do_what_is_due()
            await breaths.take()
        await self._socket.close(1013, "too slow: connect again")

    async def until_stopped(self, stream: Subscription) -> None:
        """Close the socket when the gateway stops, or messages of other replicas are missing."""
        try:
            while True:
                await stream.get()
        except Closed:
            await self._socket.close(1012, "the gateway is stopping: connect again")
        except Ended:
            await self._socket.close(1012, "live updates were interrupted: connect again")

    async def _greet(self) -> None:
        if (carrier := self._gateway.channels.carrier) is not None:
            await carrier.listens(self._channel)
        self._remaining = await self._count()
        self._told_at = time.monotonic()
        await self._outlet.text(frames.status(self._remaining, self._channel.client_id))
        with self._asking():
            await self._tell_what_works()
        await self._look()

    async def _tell_what_works(self) -> None:
        await self._note_at_work()
        if not self._at_work:
            return
        first = next(iter(self._at_work))
        task = (await self._gateway.tasks.several([first])).get(first)
        if task is None or task.finished:
            return
        node = self._gateway.tasks.view(task)["progress"]["current_node"]
        if node is not None:
            await self._outlet.text(frames.executing(node, first))

    async def _note_at_work(self) -> None:
        found = await self._ends.at_work(self._channel)
        self._at_work = {posted.task_id: None for posted in found if self._is_for_us(posted)}

    def _patience(self) -> float:
        """Return the seconds until something is due, whether or not there are messages."""
        due = [self._outlet.written_at + SILENCE]
        due += [at for at in (self._count_at, self._look_at) if at is not None]
        return max(min(due) - time.monotonic(), 0.0)

    async def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if self._count_at is not None and now >= self._count_at:
            await self._tell_count()
        if self._look_at is not None and now >= self._look_at:
            await self._look()
        if now >= self._outlet.written_at + SILENCE:
            await self._tell_count(even_if_known=True)
            await self._look()

    async def _pass_on(self, message: Message) -> None:
        match message.kind:
            case "count":
                at = max(self._told_at + COUNTED, time.monotonic())
                self._count_at = at if self._count_at is None else min(self._count_at, at)
            case "end":
                await self._end(message.task_id, announced=True)
            case "text":
                self._works(message.task_id)
                await self._outlet.text(message.data)
            case _:
                self._works(message.task_id)
                await self._send_binary(message)

    def _works(self, task_id: str) -> None:
        if task_id and len(self._at_work) < MOST_AT_WORK:
            self._at_work.setdefault(task_id)

    async def _send_binary(self, message: Message) -> None:
        frame: bytes | None = message.data
        if not self._takes_metadata and frames.is_picture(message.data):
            # Nothing in it says of which task it is
            is_first = next(iter(self._at_work), message.task_id) == message.task_id
            if message.kind == "preview" and not is_first:
                return
            frame = frames.without_metadata(message.data)
        if frame is not None:
            await self._outlet.binary(frame)

    # -- counts and ends ------------------------------------------------------------------------

    async def _count(self) -> int:
        """Return the number of the caller's unfinished tasks, the last known one if the database
        does not answer."""
        try:
            return await self._gateway.native_counts.of(self._channel.owner)
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            self._count_at = time.monotonic() + AGAIN
            return self._remaining

    async def _tell_count(self, *, even_if_known: bool = False) -> None:
        self._count_at = None
        remaining = await self._count()
        if even_if_known or remaining != self._remaining:
            self._note_count(remaining)
            await self._outlet.text(frames.status(remaining))

    def _note_count(self, remaining: int) -> None:
        self._remaining, self._told_at = remaining, time.monotonic()

    async def _look(self) -> None:
        """Tell the ends that no socket of the client was told."""
        self._look_at = None
        with self._asking():
            for posted in await self._ends.untold(self._channel):
                if self._is_for_us(posted):
                    await self._end(posted.task_id)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Leave it to a later look if the database is away."""
        try:
            yield
        except SQLAlchemyError as error:
            if not is_away(error):
                raise
            self._look_at = time.monotonic() + AGAIN

    def _is_for_us(self, posted: Posted) -> bool:
        """Return whether a task is of this client: without an API key only what came from its
        address, as anybody may use its id."""
        if self._channel.owner is None and not self._is_ours(posted.origin):
            return False
        return self._gateway.channels.hears(self._mailbox, posted.origin)

    def _is_ours(self, origin: str) -> bool:
        return is_of_address(self._mailbox.origin, origin)

    async def _end(self, task_id: str, *, announced: bool = False) -> None:
        self._at_work.pop(task_id, None)
        if task_id in self._told:
            return
        end = None
        with self._asking():
            end = await self._ends.get(self._channel.owner, task_id)
        if end is None or (announced and self._is_old(end)):
            return
        remaining = await self._count()
        self._told.put(task_id, True)
        self._note_count(remaining)
        for message in ends.messages_of(end.task, end.result, remaining):
            await self._outlet.text(message)
        native = end.task.native
        if self._channel.owner is not None or (native and self._is_ours(native.origin)):
            self._ends.tell(task_id)

    def _is_old(self, end: End) -> bool:
        """Return whether it ended before the socket was there, so that `_look` tells it: a finished
        task is announced again when somebody cancels it."""
        return (end.task.finished_at or 0.0) < self._opened - CLOCKS

    # -- receiving ------------------------------------------------------------------------------

    async def receive(self) -> None:
        """Take the client's feature flags, and nothing else, until it leaves."""
        pace = SendRate()
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            await pace.wait(1)
            if (text := message.get("text")) and not self._said_something:
                await self._hear(text.encode())

    async def _hear(self, text: bytes) -> None:
        try:
            check_values(text, MOST_VALUES)
            said = parse_json(text)
        except GatewayError:
            return
        if not isinstance(said, dict):
            return
        self._said_something = True
        if (flags := frames.flags_in(said)) is not None:
            self._takes_metadata = flags.get("supports_preview_metadata") is True
            await self._outlet.text(frames.text("feature_flags", await self._features()))

    async def _features(self) -> Json:
        """Return what all servers support, or what the gateway itself does if none tells in
        time."""
        try:
            async with asyncio.timeout(ASKED):
                found = await common_features(self._gateway)
        except (GatewayError, TimeoutError):
            found = own_features(self._gateway)
        # Previews are made to fit here, whatever the servers can do
        return {**found, "supports_preview_metadata": True}
