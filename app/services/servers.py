"""Adding, draining and removing servers at run time.

Changes apply to all processes on the database, and persist across restarts.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from app.db.engine.notify import Notifications, Topic
from app.db.servers import ServerRepository, ServerRow, State
from app.errors import InvalidInput, ServerBusy
from app.limits.periodic import every
from app.scheduler.dispatcher import Dispatcher
from app.servers.addresses import base_url, leads_back
from app.servers.duplicates import refuse_twin
from app.servers.pool import Pool
from app.servers.server import Server

log = logging.getLogger(__name__)

NOTES = 20
LEAVING = 10.0  # seconds for a removed server to release its tasks
LOOK = 0.2  # seconds between two checks for that
CHANGES_INTERVAL = 5.0  # seconds between two checks for changes by other processes


class ServerService:
    def __init__(
        self,
        pool: Pool,
        registry: ServerRepository,
        dispatcher: Dispatcher,
        named: Sequence[str] = (),
        own: Sequence[tuple[str, int]] = (),
    ) -> None:
        """`named`: addresses from the command line or a setting; `own`: the gateway's own ones."""
        self._own = own
        self.notes: deque[str] = deque(maxlen=NOTES)  # messages for the operator
        self._named = {base_url(address).split("://", 1)[-1] for address in named}
        self._pool = pool
        self._registry = registry
        self._dispatcher = dispatcher
        self._changing = asyncio.Lock()  # so that no older state is applied after a change
        self._changed = asyncio.Event()

    def listen(self, notifications: Notifications) -> None:
        """Subscribe to changes by other processes."""
        notifications.on(Topic.SERVERS, lambda _: self._changed.set())
        notifications.on(Topic.RESUMED, self._resumed)

    async def run(self) -> None:
        """Apply changes by other processes until cancelled."""
        name = "reading the list of servers"
        await every(CHANGES_INTERVAL, self.recall, name, self._changed, at_once=False)

    async def recall(self) -> None:
        """Apply the stored state: changes before a restart, or by another process."""
        async with self._changing:
            for row in await self._registry.rows():
                if row.state == "removed":
                    await self._forget(row.id)
                    continue
                url = base_url(row.url, port=80)  # 80 is the default of stored URLs
                id = url.split("://", 1)[-1]
                if id not in self._pool:
                    self._pool.add(url, slots=row.slots)
                self._take(self._pool.get(id), row)

    async def begin(self) -> None:
        """Activate servers named in the settings, whatever was stored before; then apply the stored
        state."""
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
        """Add a server. Raises InvalidInput, and ServerExists if it is in the pool."""
        if leads_back(base_url(address), self._own):
            raise InvalidInput(
                "address: the gateway itself listens there.",
                hint="Name the address of a ComfyUI.",
                field="address",
            )
        await refuse_twin(self._pool, base_url(address))
        async with self._changing:
            server = self._pool.add(address, slots=slots)
            await self._remember(server, "active")
        return server

    async def drain(self, server_id: str) -> Server:
        """Stop assigning tasks; pending ones move, running ones may end. Raises ServerNotFound."""
        async with self._changing:
            server = self._pool.get(server_id)
            self._drain(server)
            await self._remember(server, "draining")
        return server

    async def resume(self, server_id: str) -> Server:
        """Assign tasks again, after a drain, stall or failure. Raises ServerNotFound."""
        async with self._changing:
            server = self._pool.get(server_id)
            server.draining = server.removed = False
            await self._remember(server, "active", resumed=True)
        self._resumed(server.id)
        return server

    async def set_slots(self, server_id: str, slots: int) -> Server:
        """Set the number of slots. Raises ServerNotFound."""
        async with self._changing:
            server = self._pool.get(server_id)
            server.own_slots = slots
            await self._remember(server, "draining" if server.draining else "active")
        self._dispatcher.wake()
        return server

    async def remove(self, server_id: str, *, force: bool) -> None:
        """Remove a server; its pending tasks go back to the queue.

        Running tasks do so, too, if the server is offline or with `force`; otherwise they raise
        ServerBusy. Raises ServerNotFound.
        """
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

    # -- helpers --------------------------------------------------------------------------------

    def _take(self, server: Server, row: ServerRow) -> None:
        """Apply what another process stored about a server."""
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
        """Wait until no process drives tasks on the server; return False after LEAVING seconds."""
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
        """Remove a server that another process removed, or that was removed before a restart."""
        if server_id not in self._pool:
            return
        log.warning("server %s was removed; POST /api/servers brings it back", server_id)
        server = self._pool.get(server_id)
        self._leave(server)  # a task may have been assigned just before the notification
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
