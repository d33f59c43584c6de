"""The pool of all servers."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress

from app.errors import InvalidInput, NoServer, ServerExists, ServerNotFound
from app.limits.json_types import Json
from app.servers.addresses import base_url
from app.servers.core_nodes import core_node_types
from app.servers.inventory import merged
from app.servers.server import Server
from app.workflows.requirements import Needs

REFRESH_INTERVAL = 5.0  # seconds between two fetches of node types, unless a client requests one


class Pool:
    """Servers by id, each monitored by a background task while `run` is active."""

    def __init__(
        self, addresses: Sequence[str], *, slots: int, max_slots: int = 0, grace: float = 60.0
    ) -> None:
        self._slots, self._max_slots = slots, max_slots  # of servers without a number of their own
        self._grace = grace
        self._servers: dict[str, Server] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._group: asyncio.TaskGroup | None = None
        self._on_change: Callable[[], None] = lambda: None
        self._merged: tuple[list[Json], Mapping[str, Json]] = ([], {})
        for address in addresses:
            self.add(address)

    def __iter__(self) -> Iterator[Server]:
        return iter(list(self._servers.values()))

    def __contains__(self, server_id: str | None) -> bool:
        return server_id in self._servers

    def add(self, address: str, *, slots: int | None = None) -> Server:
        """Add a server. Raises InvalidInput and ServerExists."""
        server = Server(
            base_url(address),
            self._slots,
            max_slots=self._max_slots,
            own_slots=slots,
            grace=self._grace,
        )
        if server.id in self._servers:
            raise ServerExists(f"Server {server.id} is in use already.")
        self._servers[server.id] = server
        if self._group is not None:
            self._watch(server, self._group)
        self._on_change()
        return server

    async def remove(self, server: Server) -> None:
        """Remove a server, which must not hold prompts of ours any more."""
        self._servers.pop(server.id, None)
        if watch := self._watches.pop(server.id, None):
            watch.cancel()
            await asyncio.wait([watch])
        self._on_change()

    def get(self, server_id: str) -> Server:
        """Return a server by its id, the address without the scheme. Raises ServerNotFound."""
        server = self._servers.get(server_id.split("://", 1)[-1].rstrip("/"))
        if server is None:
            with suppress(InvalidInput):  # try another spelling of the address
                server = self._servers.get(base_url(server_id).split("://", 1)[-1])
        if server is None:
            known = ", ".join(self._servers) or "none"
            raise ServerNotFound(f"There is no server {server_id[:80]!r}; there are: {known}.")
        return server

    def online(self) -> list[Server]:
        return [server for server in self if server.online]

    def able(self, needs: Needs, wanted: str | None) -> list[Server]:
        """Return the servers that meet the needs, online or not; only the wanted one if given."""
        return [server for server in self if wanted in (None, server.id) and server.can_run(needs)]

    def has_other(self, server_id: str | None, needs: Needs, wanted: str | None) -> bool:
        """Return whether a server other than `server_id` could accept such a task now."""
        return any(s.accepting and s.id != server_id for s in self.able(needs, wanted))

    def at_hand(self, needs: Needs, wanted: str | None) -> list[Server]:
        """Return the servers that meet the needs and are available now or should be soon."""
        able = self.able(needs, wanted)
        return [s for s in able if not (s.draining or s.removed or s.given_up)]

    def untold(self, needs: Needs, wanted: str | None) -> list[Server]:
        """Return the servers whose node types have not been loaded yet, unless given up."""
        return [
            s
            for s in self
            if wanted in (None, s.id) and s.id not in needs.refusers
            if not (s.node_types or s.draining or s.removed or s.given_up)
        ]

    def choose(self, server_id: str | None) -> list[Server]:
        """Return the online servers, or the named one. Raises ServerNotFound and NoServer."""
        servers = self.online()
        if server_id is not None:
            servers = [server for server in servers if server is self.get(server_id)]
        if not servers:
            reasons = "; ".join(f"{server.id}: {server.health.reason}" for server in self)
            raise NoServer(
                f"No ComfyUI server answers ({reasons or 'none is configured'}).",
                hint="Start ComfyUI, or name its address with --comfyui-server HOST:PORT or "
                "POST /api/servers.",
            )
        return servers

    def node_types(self, server_id: str | None = None) -> Mapping[str, Json]:
        """Return object_info of one server, or merged of all; empty while none is known."""
        if server_id:
            return self.get(server_id).node_types
        known = [server.node_types for server in self if server.node_types]
        before, result = self._merged
        if len(before) != len(known) or any(a is not b for a, b in zip(before, known, strict=True)):
            result = merged(known)
            self._merged = (known, result)
        return result

    def definitions(self, server_id: str | None = None) -> Mapping[str, Json]:
        """Return `node_types`, or those of common nodes while none are known."""
        return self.node_types(server_id) or core_node_types()

    async def refresh(self, server_id: str | None = None, *, at_once: bool = False) -> bool:
        """Reload node types; return whether some have changed.

        Types that were loaded within REFRESH_INTERVAL are not reloaded, unless `at_once`.
        """
        servers = [self.get(server_id)] if server_id else self.online()
        since = time.perf_counter() - (0 if at_once else REFRESH_INTERVAL)
        return any(await asyncio.gather(*(server.refresh(since) for server in servers)))

    async def run(self, on_change: Callable[[], None]) -> None:
        """Monitor all servers until cancelled."""
        self._on_change = on_change
        async with asyncio.TaskGroup() as group:
            self._group = group
            try:
                for server in self:
                    self._watch(server, group)
                await asyncio.Event().wait()  # servers may be added at any time
            finally:
                self._group = None  # a TaskGroup that is ending accepts no tasks

    def _watch(self, server: Server, group: asyncio.TaskGroup) -> None:
        server.on_change = self._on_change
        watch = group.create_task(server.run(), name=f"server {server.id}")
        self._watches[server.id] = watch
