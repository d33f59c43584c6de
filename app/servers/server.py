"""One ComfyUI server as we see it: health, what it has, and its events by prompt."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from app.comfyui.client import ComfyClient
from app.comfyui.events import Event, Preview
from app.comfyui.socket import Connected, Disconnected, listen
from app.errors import ComfyError

log = logging.getLogger(__name__)

Json = dict[str, Any]
Inbox = asyncio.Queue[Any]  # events of one prompt, and what others put in for its runner

HEALTH_INTERVAL = 5.0  # seconds between two looks at a healthy server
PROBE_TIMEOUT = 5.0  # for the whole look
REFRESH_INTERVAL = 5.0  # at the least, between two fetches of node types on demand
RETRY_INTERVAL = 1.0  # and at one that does not answer


@dataclass
class Health:
    """What the last look at the server said. `reason` tells why it is not online."""

    online: bool = False
    reason: str | None = "not asked yet"
    since: float = field(default_factory=time.time)
    stats: Json = field(default_factory=dict)

    @property
    def version(self) -> str | None:
        system = self.stats.get("system")
        return system.get("comfyui_version") if isinstance(system, dict) else None


class Server:
    """`run` keeps it watched; `follow` gives the events of one prompt."""

    def __init__(self, base_url: str, slots: int) -> None:
        self.base_url = base_url
        self.id = base_url.split("://", 1)[-1]
        self.slots = slots
        self.client = ComfyClient(base_url)
        self.client_id = uuid4().hex  # ours for as long as this process lives
        self.health = Health()
        self.connected = False
        self.node_types: Json = {}  # object_info as last seen; empty until it was fetched
        self._fetched_at = 0.0
        self.placed: set[str] = set()  # names of inputs that were put there
        self.on_change: Callable[[], None] = lambda: None
        self._inboxes: dict[str, Inbox] = {}
        self._look_now = asyncio.Event()

    @property
    def online(self) -> bool:
        return self.health.online

    async def run(self) -> None:
        """Watch the server until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch_health(), name=f"health {self.id}")
                group.create_task(self._receive(self.client_id), name=f"socket {self.id}")
        finally:
            await self.client.aclose()

    @contextmanager
    def follow(self, prompt_id: str, inbox: Inbox) -> Iterator[None]:
        """Put the prompt's events into `inbox`, and `Connected` when some may have been missed."""
        self._inboxes[prompt_id] = inbox
        try:
            yield
        finally:
            del self._inboxes[prompt_id]

    @asynccontextmanager
    async def hearing(self, client_id: str | None) -> AsyncIterator[None]:
        """Hear the events of prompts that were sent under another client_id than ours."""
        if client_id in (None, self.client_id):
            yield
            return
        receiving = asyncio.create_task(self._receive(client_id or ""), name=f"socket {client_id}")
        try:
            yield
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])

    async def refresh(self) -> bool:
        """Ask for the node types again, unless that was just done; True if they have changed."""
        if not self.online or time.monotonic() - self._fetched_at < REFRESH_INTERVAL:
            return False
        before = self.node_types
        try:
            await self._fetch_node_types()
        except ComfyError:
            return False
        return self.node_types != before

    async def _fetch_node_types(self) -> None:
        self._fetched_at = time.monotonic()
        self.node_types = await self.client.object_info()

    def look_now(self) -> None:
        """Do not wait for the next regular look at the server's health."""
        self._look_now.set()

    # -- health ---------------------------------------------------------------------------------

    async def _watch_health(self) -> None:
        while True:
            self._look_now.clear()
            await self._look()
            interval = HEALTH_INTERVAL if self.online else RETRY_INTERVAL
            try:
                async with asyncio.timeout(interval):
                    await self._look_now.wait()
            except TimeoutError:
                pass

    async def _look(self) -> None:
        try:
            async with asyncio.timeout(PROBE_TIMEOUT):
                stats = await self.client.probe()
            if not self.online:  # another server may stand there now
                await self._fetch_node_types()
                self.placed.clear()
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
            self.on_change()

    # -- events ---------------------------------------------------------------------------------

    async def _receive(self, client_id: str) -> None:
        current: str | None = None  # the prompt that runs, for previews that do not name theirs
        async with aclosing(listen(self.base_url, client_id)) as events:
            async for event in events:
                if isinstance(event, Connected | Disconnected):
                    self._socket_changed(client_id, isinstance(event, Connected))
                else:
                    current = self._deliver(event, current)

    def _socket_changed(self, client_id: str, connected: bool) -> None:
        if client_id == self.client_id:
            self.connected = connected
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
            inbox.put_nowait(event)
        return current
