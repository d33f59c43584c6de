"""One ComfyUI server: its health, its node types, and its events by prompt."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, aclosing, asynccontextmanager
from uuid import uuid4

from app.comfyui.client import ComfyClient
from app.comfyui.events import Status
from app.comfyui.socket import Connected, Disconnected, listen
from app.errors import ComfyError
from app.files.staged_names import without_staged
from app.limits.json_types import Json
from app.limits.periodic import cancel_all, wait_or_timeout
from app.servers.breaker import DOOR_PAUSES, Breaker
from app.servers.event_inbox import EventInbox
from app.servers.fifo_lock import FifoLock
from app.servers.health import Health
from app.servers.offer import Offer
from app.servers.open_requests import OpenRequests
from app.servers.pace import Pace
from app.servers.prompt_events import PromptEvents
from app.servers.refusals import Refusals
from app.servers.server_json import ServerState
from app.servers.socket_liveness import Ear
from app.workflows.requirements import Lack, Needs

log = logging.getLogger(__name__)


HEALTH_INTERVAL = 5.0  # seconds between two health checks of a healthy server
PROBE_TIMEOUT = 5.0  # seconds for the whole health check
RETRY_INTERVAL = 1.0  # seconds between two health checks of an unreachable server


class Server:
    """One server; `run` monitors it, `follow` delivers the events of one prompt."""

    def __init__(
        self,
        base_url: str,
        slots: int,
        *,
        max_slots: int = 0,
        own_slots: int | None = None,
        grace: float = 60.0,
    ) -> None:
        """`max_slots`: for short prompts; `own_slots`: in place of both."""
        self.base_url = base_url
        self.id = base_url.split("://", 1)[-1]
        self.own_slots = own_slots
        self._default_slots, self._max_slots = slots, max_slots
        self.pace = Pace()
        self.client = ComfyClient(base_url)
        self.client_id = uuid4().hex  # fixed for the lifetime of this process
        self.health = Health()
        self.ear = Ear()  # liveness of the socket with our client_id
        self.absences = 0  # times that the server or the socket to it was lost
        self.compared = -1  # `absences` at the last comparison with other servers
        self.twin_of: str | None = None
        self.connected = self.draining = self.removed = False
        self.stalled: str | None = None  # why it is considered stalled
        self.swept = self.sweeping = False  # stray prompts cancelled since it came online
        self.seen = asyncio.Event()  # set after the first health check
        self.breaker = Breaker()
        self.door = Breaker(pauses=DOOR_PAUSES)  # the breaker for submissions
        self.doubted_at = 0.0  # since when it may get prompts of ours without our knowledge
        self.fifo_lock = FifoLock()  # order of submissions
        self.warm: frozenset[str] = frozenset()  # model files of the prompt sent last
        self.queue_length = 0  # prompts by its last status event, including those of others
        self.held_beside = 0  # tasks of other gateways in no snapshot yet, by the last claim
        self.offer = Offer({})
        self.placing = asyncio.Lock()  # held while an input is staged
        self.on_change: Callable[[], None] = lambda: None
        self._grace, self._fetched_at, self._fetching = grace, 0.0, asyncio.Lock()
        self.refusals = Refusals()
        self.requests = OpenRequests(lambda: f"{self.id} is gone: {self.health.reason}")
        self._events = PromptEvents()
        self._look_now = asyncio.Event()

    @property
    def node_types(self) -> Json:
        """object_info as last loaded; empty until then."""
        return self.offer.node_types

    @node_types.setter
    def node_types(self, told: Json) -> None:
        self.offer = Offer(told)

    @property
    def online(self) -> bool:
        return self.health.online

    @property
    def state(self) -> ServerState:
        """One of online, offline, draining, stalled and failing."""
        if not self.online:
            return "offline"
        if self.draining or self.removed:
            return "draining"
        if self.stalled:
            return "stalled"
        return "failing" if self.breaker.is_failing or self.door.is_failing else "online"

    @property
    def reason(self) -> str | None:
        """Why the server is not usable, or None."""
        known = self.health.reason or self.stalled or self.door.reason or self.breaker.reason
        return known or (None if self.node_types else "It has not told its node types yet.")

    @property
    def is_probing(self) -> bool:
        """Whether the server is on trial: one task at a time."""
        return self.breaker.is_probing or self.door.is_probing

    @property
    def barred(self) -> frozenset[str]:
        """The API keys that are barred while other keys are served."""
        return self.breaker.barred | self.door.barred

    @property
    def slots(self) -> int:
        """The number of prompts that the server may hold."""
        return self.own_slots or self.pace.slots(self._default_slots, self._max_slots)

    @property
    def usual_slots(self) -> int:
        """The slots that are not only for short prompts."""
        return self.own_slots or self._default_slots

    @property
    def accepting(self) -> bool:
        """Whether the server may get new tasks."""
        taken_out = self.stalled or self.breaker.is_open or self.door.is_open
        return self.online and self.swept and not (taken_out or self.draining or self.removed)

    def recover(self) -> None:
        """Clear the stall, the breakers and the refusals."""
        self.stalled = None
        self.breaker.succeeded()
        self.door.succeeded()
        self.refusals.forget()

    @property
    def given_up(self) -> bool:
        """Whether the server was removed, or has been offline for longer than the grace period."""
        away = 0.0 if self.online else time.time() - self.health.since
        return self.removed or away > self._grace

    def lacks(self, needs: Needs) -> Lack:
        """Return which of the needs the server does not have, by its node types."""
        return self.offer.lacks(needs)

    def can_run(self, needs: Needs) -> bool:
        return self.offer.has(needs) and self.id not in needs.refusers

    async def run(self) -> None:
        """Monitor the server until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_health(), name=f"health {self.id}")
                group.create_task(
                    self.ear.listen(lambda: self._receive(self.client_id)), name=f"socket {self.id}"
                )
        finally:
            await self.client.aclose()

    def follow(self, prompt_id: str, inbox: EventInbox) -> AbstractContextManager[None]:
        """Put the prompt's events into `inbox`, and `Connected` if events may have been missed."""
        return self._events.follow(prompt_id, inbox)

    @asynccontextmanager
    async def hearing(self, client_id: str | None) -> AsyncIterator[None]:
        """Receive the events of a prompt that was sent under another process's client_id. If that
        process is alive, its socket gets no more events until its `Ear` notices."""
        if client_id in (None, self.client_id):
            yield
            return
        receiving = asyncio.create_task(self._receive(client_id or ""), name=f"socket {client_id}")
        try:
            yield
        finally:
            await cancel_all([receiving])

    def give_up(self) -> None:
        """End the requests in progress if the server is given up."""
        if self.given_up:
            self.requests.end_all()

    async def refresh(self, since: float) -> bool:
        """Reload the node types unless a reload began after `since` (`perf_counter`); return
        whether they changed. Concurrent callers share one request."""
        self.refusals.forget_unnamed()
        async with self._fetching:
            if not self.online or self._fetched_at > since:
                return False
            before = self.node_types
            try:
                await self._fetch_node_types()
            except ComfyError:
                return False
            return self.node_types is not before

    async def _fetch_node_types(self) -> None:
        self._fetched_at = time.perf_counter()  # on Windows `monotonic` stands still for 1/64 s
        told = await self.client.object_info()
        found = await asyncio.to_thread(without_staged, told)  # names of staged files are private
        if found != self.node_types:  # replaced, never modified: others hold references
            self.node_types = found
            self.refusals.forget()

    def look_now(self) -> None:
        """Run the next health check immediately."""
        self._look_now.set()

    def mark_stalled(self, reason: str) -> None:
        if self.stalled is None:
            log.warning("server %s is stalled: %s", self.id, reason)
            self.stalled = reason
            self.on_change()

    def shows_life(self) -> None:
        """Clear the stall: a prompt of ours made progress."""
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
            if not self.online:  # possibly another server at the same address
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
        running: str | None = None  # the prompt of ours that runs, as far as it is known
        async with aclosing(listen(self.base_url, client_id)) as heard:
            async for one in heard:
                if client_id == self.client_id:
                    self.ear.hears()
                if isinstance(one, Connected | Disconnected):
                    running = None
                    self._socket_changed(client_id, isinstance(one, Connected))
                elif isinstance(one.event, Status):
                    self.queue_length = one.event.queue_remaining or 0
                else:
                    running = self._events.deliver(one, running)

    def _socket_changed(self, client_id: str, connected: bool) -> None:
        if client_id == self.client_id:
            self.connected = connected
            self.absences += not connected
            self.refusals.forget()
            self.look_now()
        if connected:
            self._events.connected()
