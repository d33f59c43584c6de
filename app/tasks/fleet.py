"""Adding, draining and removing servers while the gateway runs; remembered across restarts."""

import asyncio
import logging

from app.errors import ServerBusy
from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.dispatcher import Dispatcher
from app.tasks.registry import Registry, ServerRow, State

log = logging.getLogger(__name__)

LEAVING = 10.0  # seconds in which a server that is removed is to let go of its tasks


class Fleet:
    def __init__(self, pool: Pool, registry: Registry, dispatcher: Dispatcher) -> None:
        self._pool = pool
        self._registry = registry
        self._dispatcher = dispatcher

    async def recall(self) -> None:
        """Bring the pool to what the registry says: of changes before a restart, or by another
        process on the same database."""
        for row in await self._registry.rows():
            if row.state == "removed":
                if row.id in self._pool:
                    log.warning("server %s was removed; POST /api/servers brings it back", row.id)
                    await self._pool.remove(self._pool.get(row.id))
                continue
            if row.id not in self._pool:
                self._pool.add(row.url, slots=row.slots)
            server = self._pool.get(row.id)
            server.own_slots, server.draining = row.slots, row.state == "draining"

    async def add(self, address: str, slots: int | None) -> Server:
        """Raises InvalidInput, and ServerExists if it is in use already."""
        server = self._pool.add(address, slots=slots)
        await self._remember(server, "active")
        return server

    async def drain(self, server_id: str) -> Server:
        """No new work; what waits there goes elsewhere, what runs there may end. Raises
        ServerNotFound."""
        server = self._pool.get(server_id)
        server.draining = True
        await self._remember(server, "draining")
        self._dispatcher.move_away(server, f"{server.id} is being drained.")
        return server

    async def resume(self, server_id: str) -> Server:
        """Work again, after a drain or whatever else made it stop. Raises ServerNotFound."""
        server = self._pool.get(server_id)
        server.draining = False
        server.stalled = None
        server.breaker.succeeded()
        await self._remember(server, "active")
        self._dispatcher.wake()
        return server

    async def set_slots(self, server_id: str, slots: int) -> Server:
        """Raises ServerNotFound."""
        server = self._pool.get(server_id)
        server.own_slots = slots
        await self._remember(server, "draining" if server.draining else "active")
        self._dispatcher.wake()
        return server

    async def remove(self, server_id: str, *, force: bool) -> None:
        """Let it go. Tasks that wait there go back to the queue; so do those that run there, if
        it does not answer or with `force`. Raises ServerNotFound, and ServerBusy without it."""
        server = self._pool.get(server_id)
        running = [r for r in self._dispatcher.running_on(server) if r.task.started_at is not None]
        if running and server.online and not force:
            raise ServerBusy(
                f"Tasks of ours run on {server.id}: {len(running)}.",
                hint=f"Drain it first (POST /api/servers/{server.id}/drain) and wait, or add "
                "?force=true: they are stopped there and run again on another server.",
            )
        server.removed = True
        self._dispatcher.move_away(server, f"{server.id} was removed.", force=True)
        if not server.online:
            server.give_up()
        try:
            async with asyncio.timeout(LEAVING):
                await self._dispatcher.until_idle(server)
        except TimeoutError:
            server.removed = False
            raise ServerBusy(
                f"{server.id} has not let go of its tasks in {LEAVING:.0f} s.",
                hint="Try again, or cancel them.",
            ) from None
        await self._remember(server, "removed")
        await self._pool.remove(server)

    async def _remember(self, server: Server, state: State) -> None:
        await self._registry.put(ServerRow(server.id, server.base_url, server.own_slots, state))
