"""Adding, draining and removing servers while the gateway runs: for all processes on the database,
and remembered across restarts."""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from app.db.engine.notify import Notifications, Topic
from app.db.servers import ServerRepository, ServerRow, State
from app.errors import ServerBusy
from app.limits.periodic import every
from app.scheduler.dispatcher import Dispatcher
from app.servers.addresses import base_url
from app.servers.duplicates import refuse_twin
from app.servers.pool import Pool
from app.servers.server import Server

log = logging.getLogger(__name__)

NOTES = 20
LEAVING = 10.0  # seconds in which a server that is removed is to let go of its tasks
LOOK = 0.2  # seconds between two looks whether it has
CHANGES_INTERVAL = 5.0  # seconds between two looks at what other processes changed


class ServerService:
    def __init__(
        self,
        pool: Pool,
        registry: ServerRepository,
        dispatcher: Dispatcher,
        named: Sequence[str] = (),
    ) -> None:
        """`named`: addresses that the command line or a setting names."""
        self.notes: deque[str] = deque(maxlen=NOTES)  # what an operator should hear of
        self._named = {base_url(address).split("://", 1)[-1] for address in named}
        self._pool = pool
        self._registry = registry
        self._dispatcher = dispatcher
        self._changing = asyncio.Lock()  # what we are about to write is newer than what is read
        self._changed = asyncio.Event()

    def listen(self, notifications: Notifications) -> None:
        """Hear of what other processes changed."""
        notifications.on(Topic.SERVERS, lambda _: self._changed.set())
        notifications.on(Topic.RESUMED, self._resumed)

    async def run(self) -> None:
        """Follow what other processes change, until cancelled."""
        name = "reading the list of servers"
        await every(CHANGES_INTERVAL, self.recall, name, self._changed, at_once=False)

    async def recall(self) -> None:
        """Bring the pool to what the registry says: of changes before a restart, or by another
        process on the same database."""
        async with self._changing:
            for row in await self._registry.rows():
                if row.state == "removed":
                    await self._forget(row.id)
                    continue
                url = base_url(row.url, port=80)  # as it was meant
                id = url.split("://", 1)[-1]
                if id not in self._pool:
                    self._pool.add(url, slots=row.slots)
                self._take(self._pool.get(id), row)

    async def begin(self) -> None:
        """What is named at the start is used, whatever was done before; then as `recall`."""
        for row in await self._registry.rows():
            if row.state in ("removed", "leaving") and row.id in self._named:
                said = f"{row.id} was removed once, and is used again: the settings name it."
                log.warning("%s Take it out of --comfyui-server, or COMFYUI_COMFYUI_SERVER.", said)
                self.notes.append(said)
                await self._registry.put(replace(row, state="active"))
        await self.recall()

    def is_busy(self, server: Server) -> bool:
        return bool(self._dispatcher.running_on(server))

    async def add(self, address: str, slots: int | None) -> Server:
        """Raises InvalidInput, and ServerExists if it is in use already."""
        await refuse_twin(self._pool, base_url(address))
        async with self._changing:
            server = self._pool.add(address, slots=slots)
            await self._remember(server, "active")
        return server

    async def drain(self, server_id: str) -> Server:
        """No new work; what waits there goes elsewhere, what runs there may end. Raises
        ServerNotFound."""
        async with self._changing:
            server = self._pool.get(server_id)
            self._drain(server)
            await self._remember(server, "draining")
        return server

    async def resume(self, server_id: str) -> Server:
        """Work again, after a drain or whatever else made it stop. Raises ServerNotFound."""
        async with self._changing:
            server = self._pool.get(server_id)
            server.draining = server.removed = False
            await self._remember(server, "active", resumed=True)
        self._resumed(server.id)
        return server

    async def set_slots(self, server_id: str, slots: int) -> Server:
        """Raises ServerNotFound."""
        async with self._changing:
            server = self._pool.get(server_id)
            server.own_slots = slots
            await self._remember(server, "draining" if server.draining else "active")
        self._dispatcher.wake()
        return server

    async def remove(self, server_id: str, *, force: bool) -> None:
        """Let it go. Tasks that wait there go back to the queue; so do those that run there, if
        it does not answer or with `force`. Raises ServerNotFound, and ServerBusy without it."""
        async with self._changing:
            server = self._pool.get(server_id)
            running = await self._registry.running_on(server.id)
            if running and server.online and not force:
                raise ServerBusy(
                    f"Tasks of ours run on {server.id}: {running}.",
                    hint=f"Drain it first (POST /api/servers/{server.id}/drain) and wait, or add "
                    "?force=true: they are stopped there and run again on another server.",
                )
            self._leave(server)
            await self._remember(server, "leaving")
            if not await self._let_go(server):
                server.removed = False
                await self._remember(server, "draining" if server.draining else "active")
                raise ServerBusy(
                    f"{server.id} has not let go of its tasks in {LEAVING:.0f} s.",
                    hint="Try again, or cancel them.",
                )
            await self._remember(server, "removed")
            await self._pool.remove(server)

    # -- how ------------------------------------------------------------------------------------

    def _take(self, server: Server, row: ServerRow) -> None:
        """Bring one server to what another process wrote of it."""
        if (server.own_slots, server.draining) != (row.slots, row.state == "draining"):
            self._dispatcher.wake()
        server.own_slots = row.slots
        if row.state == "leaving" and not server.removed:
            self._leave(server)
        elif row.state == "draining" and not server.draining:
            self._drain(server)
        if row.state != "leaving":
            server.draining, server.removed = row.state == "draining", False

    def _drain(self, server: Server) -> None:
        server.draining = True
        self._dispatcher.move_away(server, f"{server.id} is being drained.")

    def _leave(self, server: Server) -> None:
        server.removed = True
        self._dispatcher.move_away(server, f"{server.id} was removed.", force=True)
        if not server.online:
            server.give_up()

    async def _let_go(self, server: Server) -> bool:
        """Wait until nobody drives anything there; False if that takes too long."""
        try:
            async with asyncio.timeout(LEAVING):
                await self._dispatcher.until_idle(server)
                while True:
                    if not await self._registry.driven_on(server.id):
                        return True
                    await asyncio.sleep(LOOK)
        except TimeoutError:
            return False

    async def _forget(self, server_id: str) -> None:
        """Another process removed it, or it was removed before a restart."""
        if server_id not in self._pool:
            return
        log.warning("server %s was removed; POST /api/servers brings it back", server_id)
        server = self._pool.get(server_id)
        self._leave(server)  # we may have given it something just before we heard
        try:
            async with asyncio.timeout(LEAVING):
                await self._dispatcher.until_idle(server)
        except TimeoutError:
            log.warning("server %s has not let go of its tasks", server_id)
            return
        await self._pool.remove(server)

    def _resumed(self, server_id: str) -> None:
        if server_id in self._pool:
            server = self._pool.get(server_id)
            server.recover()
            self._dispatcher.wake()

    async def _remember(self, server: Server, state: State, *, resumed: bool = False) -> None:
        row = ServerRow(server.id, server.base_url, server.own_slots, state)
        await self._registry.put(row, resumed=resumed)
