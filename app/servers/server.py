"""One ComfyUI server as we see it: health, what it has, and its events by prompt."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from uuid import uuid4

from app.comfyui.client import ComfyClient
from app.comfyui.events import Event, Preview, Status
from app.comfyui.socket import Connected, Disconnected, listen
from app.errors import ComfyError, ComfyUnreachable
from app.files.staged_names import without_staged
from app.limits.json_types import Json
from app.limits.lru_cache import BoundedCache
from app.limits.periodic import wait_or_timeout
from app.servers.breaker import DOOR_PAUSES, Breaker
from app.servers.event_inbox import EventInbox
from app.servers.fifo_lock import FifoLock
from app.servers.health import Health
from app.servers.refusals import Refusals
from app.servers.server_json import ServerState
from app.servers.socket_liveness import Ear
from app.workflows.requirements import Lack, Needs, lack_of

log = logging.getLogger(__name__)


HEALTH_INTERVAL = 5.0  # seconds between two looks at a healthy server
PROBE_TIMEOUT = 5.0  # for the whole look
RETRY_INTERVAL = 1.0  # and at one that does not answer
KNOWN_FITS = 1_000_000  # names in answers of `lacks` that are kept, and 50 for each


class Server:
    """`run` keeps it watched; `follow` gives the events of one prompt."""

    def __init__(
        self, base_url: str, slots: int, *, own_slots: int | None = None, grace: float = 60.0
    ) -> None:
        self.base_url = base_url
        self.id = base_url.split("://", 1)[-1]
        self.own_slots = own_slots  # instead of the default, if it was told
        self._default_slots = slots
        self.client = ComfyClient(base_url)
        self.client_id = uuid4().hex  # ours for as long as this process lives
        self.health = Health()
        self.ear = Ear()  # of the socket under our client_id
        self.absences = 0  # times that it, or the socket to it, went away
        self.compared = -1  # the absences when it was looked at for others that are the same
        self.twin_of: str | None = None
        self.connected = self.draining = self.removed = False
        self.stalled: str | None = None  # why it counts as stuck
        self.swept = self.sweeping = False  # of prompts not wanted there, since it came online
        self.seen = asyncio.Event()  # it was looked at, whatever the look found
        self.breaker = Breaker()
        self.door = Breaker(pauses=DOOR_PAUSES)  # the same of prompts that it does not take
        self.doubted_at = 0.0  # since when it may get prompts of ours that we do not know of
        self.fifo_lock = FifoLock()  # of those who hand a prompt over
        self.warm: frozenset[str] = frozenset()  # model files of the prompt it got last
        self.queue_length = 0  # prompts there, strangers' too, as it last said
        self.held_beside = 0  # tasks there that other processes of ours drive, at the last claim
        self.node_types: Json = {}  # object_info as last seen; empty until it was fetched
        self.placing = asyncio.Lock()  # of whoever puts an input there
        self.on_change: Callable[[], None] = lambda: None
        self._grace, self._fetched_at, self._fetching = grace, 0.0, asyncio.Lock()
        self.refusals = Refusals()
        self._fits: BoundedCache[Needs, Lack] = BoundedCache(KNOWN_FITS, Lack.weight)
        self._asking: set[asyncio.Timeout] = set()
        self._inboxes: dict[str, EventInbox] = {}
        self._look_now = asyncio.Event()

    @property
    def online(self) -> bool:
        return self.health.online

    @property
    def state(self) -> ServerState:
        """online, offline, draining, stalled or failing: one word for people."""
        if not self.online:
            return "offline"
        if self.draining or self.removed:
            return "draining"
        if self.stalled:
            return "stalled"
        return "failing" if self.breaker.is_failing or self.door.is_failing else "online"

    @property
    def reason(self) -> str | None:
        """Why it is not as it should be."""
        known = self.health.reason or self.stalled or self.door.reason or self.breaker.reason
        return known or (None if self.node_types else "It has not told its node types yet.")

    @property
    def is_probing(self) -> bool:
        """One task at a time, which decides whether there is work for it again."""
        return self.breaker.is_probing or self.door.is_probing

    @property
    def barred(self) -> frozenset[str]:
        """The API keys that get no place here for now, while others do."""
        return self.breaker.barred | self.door.barred

    @property
    def slots(self) -> int:
        """How many prompts it may hold."""
        return self.own_slots or self._default_slots

    @property
    def accepting(self) -> bool:
        """May it get new work?"""
        taken_out = self.stalled or self.breaker.is_open or self.door.is_open
        return self.online and self.swept and not (taken_out or self.draining or self.removed)

    def recover(self) -> None:
        """Whatever spoke against it is forgotten."""
        self.stalled = None
        self.breaker.succeeded()
        self.door.succeeded()
        self.refusals.forget()

    @property
    def given_up(self) -> bool:
        """Gone from the pool, or away for longer than we wait for a server."""
        away = 0.0 if self.online else time.time() - self.health.since
        return self.removed or away > self._grace

    def lacks(self, needs: Needs) -> Lack:
        """What it does not have of these needs; nothing is known of one that never answered."""
        fits = self._fits
        if (found := fits.get(needs)) is None:
            fits.put(needs, found := lack_of(needs, self.node_types))
        return found

    def can_run(self, needs: Needs) -> bool:
        has_all = bool(self.node_types) and not self.lacks(needs)
        return has_all and self.id not in needs.refusers

    async def run(self) -> None:
        """Watch the server until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_health(), name=f"health {self.id}")
                group.create_task(
                    self.ear.listen(lambda: self._receive(self.client_id)), name=f"socket {self.id}"
                )
        finally:
            await self.client.aclose()

    @contextmanager
    def follow(self, prompt_id: str, inbox: EventInbox) -> Iterator[None]:
        """Put the prompt's events into `inbox`, and `Connected` when some may have been missed."""
        self._inboxes[prompt_id] = inbox
        try:
            yield
        finally:
            del self._inboxes[prompt_id]

    @asynccontextmanager
    async def hearing(self, client_id: str | None) -> AsyncIterator[None]:
        """Hear the events of a prompt that was sent under another client_id than ours. If whoever
        has that id lives, it is deaf afterwards, until its ear notices."""
        if client_id in (None, self.client_id):
            yield
            return
        receiving = asyncio.create_task(self._receive(client_id or ""), name=f"socket {client_id}")
        try:
            yield
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])

    @asynccontextmanager
    async def while_hoped_for(self) -> AsyncIterator[None]:
        """Ends a request to a frozen server, whatever its own timeout, once the server has been
        away for too long. Raises ComfyUnreachable then."""
        try:
            async with asyncio.timeout(None) as scope:
                self._asking.add(scope)
                try:
                    yield
                finally:
                    self._asking.discard(scope)
        except TimeoutError as error:
            raise ComfyUnreachable(f"{self.id} is gone: {self.health.reason}") from error

    def give_up(self) -> None:
        """End what still waits for an answer, if there is no hope left."""
        if self.given_up:
            for scope in self._asking:
                scope.reschedule(asyncio.get_running_loop().time())

    async def refresh(self, since: float) -> bool:
        """Ask for the node types again, unless that was begun since then, by time.monotonic; True
        if they have changed. One asks at a time, for all who come meanwhile."""
        self.refusals.forget_unnamed()
        async with self._fetching:
            if not self.online or self._fetched_at >= since:
                return False
            before = self.node_types
            try:
                await self._fetch_node_types()
            except ComfyError:
                return False
            return self.node_types is not before

    async def _fetch_node_types(self) -> None:
        self._fetched_at = time.monotonic()
        told = await self.client.object_info()
        found = await asyncio.to_thread(without_staged, told)  # who placed them knows them
        if found != self.node_types:  # replaced, never changed: others hold on to it
            self.node_types = found
            self._fits = BoundedCache(KNOWN_FITS, Lack.weight)
            self.refusals.forget()

    def look_now(self) -> None:
        """Do not wait for the next regular look at the server's health."""
        self._look_now.set()

    def mark_stalled(self, reason: str) -> None:
        if self.stalled is None:
            log.warning("server %s is stalled: %s", self.id, reason)
            self.stalled = reason
            self.on_change()

    def shows_life(self) -> None:
        """A prompt of ours moved there."""
        if self.stalled is not None:
            log.info("server %s moves again", self.id)
            self.stalled = None
            self.on_change()

    # -- health ---------------------------------------------------------------------------------

    async def _watch_health(self) -> None:
        while True:
            self._look_now.clear()
            await self._look()
            self._mind_the_ear()
            self.seen.set()
            interval = HEALTH_INTERVAL if self.online else RETRY_INTERVAL
            await wait_or_timeout(self._look_now, interval)

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                stats = await self.client.probe()
            if not self.online:  # another server may stand there now
                await self._fetch_node_types()
                self.warm = frozenset()
            self._found(Health(True, None, stats=stats))
        except ComfyError as error:
            self._found(Health(False, error.detail))
        except TimeoutError:
            self._found(Health(False, f"{self.id} accepts connections, but does not answer."))

    def _found(self, health: Health) -> None:
        turned = health.online != self.health.online
        if not turned:
            health.since = self.health.since
        self.health = health
        if turned:
            log.info("server %s is %s", self.id, "online" if health.online else "offline")
            self.swept, self.stalled, self.doubted_at = False, None, health.since
            self.absences += not health.online
            asyncio.get_running_loop().call_later(self._grace + 0.01, self.give_up)
            self.on_change()

    # -- events ---------------------------------------------------------------------------------

    def _mind_the_ear(self) -> None:
        if self.connected and self.ear.is_deaf and self.ear.renew():
            log.info("server %s tells us nothing: its socket is renewed", self.id)
            self.connected = False

    async def _receive(self, client_id: str) -> None:
        current: str | None = None  # the prompt that runs, for previews that do not name theirs
        async with aclosing(listen(self.base_url, client_id)) as events:
            async for event in events:
                if client_id == self.client_id:
                    self.ear.hears()
                if isinstance(event, Connected | Disconnected):
                    self._socket_changed(client_id, isinstance(event, Connected))
                elif isinstance(event, Status):
                    self.queue_length = event.queue_remaining or 0
                else:
                    current = self._deliver(event, current)

    def _socket_changed(self, client_id: str, connected: bool) -> None:
        if client_id == self.client_id:
            self.connected = connected
            self.absences += not connected
            self.refusals.forget()
            self.look_now()
        if connected:
            for inbox in self._inboxes.values():
                inbox.put_nowait(Connected())

    def _deliver(self, event: Event, current: str | None) -> str | None:
        prompt_id = getattr(event, "prompt_id", None)
        if isinstance(event, Preview):
            prompt_id = prompt_id or current
        elif prompt_id is not None:
            current = prompt_id
        inbox = self._inboxes.get(prompt_id) if prompt_id else None
        if inbox is not None:
            inbox.offer(event)
        return current
