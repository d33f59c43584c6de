"""Detection of servers that are in the pool under two addresses, which would double their slots."""

import logging

from app.comfyui.identity import is_one_process
from app.errors import GatewayError
from app.limits.periodic import every
from app.servers.addresses import may_be_one_machine
from app.servers.pool import Pool
from app.servers.queues import held_ids
from app.servers.server import Server
from app.services.servers import ServerService

log = logging.getLogger(__name__)

COMPARISON_INTERVAL = 1.0  # seconds


class DuplicateServers:
    def __init__(self, pool: Pool, servers: ServerService) -> None:
        self._pool = pool
        self._servers = servers
        self._near: set[tuple[str, str]] = set()  # pairs of URLs that may be the same server

    async def run(self) -> None:
        """Compare servers until cancelled; the later one of two equal servers is removed."""
        await every(COMPARISON_INTERVAL, self.look, "comparing servers")

    async def look(self) -> None:
        """Compare the servers that came online since the last call, and those with prompts."""
        servers = self._pool.online()
        absences = [server.absences for server in servers]
        # Offline servers are compared when they are back
        here = {server.base_url for server in servers}
        self._near = {pair for pair in self._near if here.issuperset(pair)}
        for number, later in enumerate(servers):
            for earlier in servers[:number]:
                if await self._are_one(earlier, later):
                    await self._merge(later, earlier)
                    break
        for server, seen in zip(servers, absences, strict=True):
            server.compared = seen

    async def _are_one(self, one: Server, other: Server) -> bool:
        if one.twin_of == other.id or other.twin_of == one.id:
            return True
        is_new = any(server.compared != server.absences for server in (one, other))
        urls = one.base_url, other.base_url
        if is_new:  # only then, as resolving names takes time
            self._near.discard(urls)
            if await may_be_one_machine(*urls):
                self._near.add(urls)
        if urls not in self._near:
            return False
        if is_new and await is_one_process(*urls):
            return True
        hold = one.queue_length > 0 and one.queue_length == other.queue_length
        return hold and bool(set(await held_ids(one)) & set(await held_ids(other)))

    async def _merge(self, server: Server, kept: Server) -> None:
        """Let the server's tasks end, then remove it."""
        if server.twin_of is None:
            server.twin_of = kept.id
            said = f"{server.id} and {kept.id} are one ComfyUI server: only {kept.id} is used."
            log.warning("%s", said)
            self._servers.notes.append(said)
            await self._servers.drain(server.id)
        if not self._servers.is_busy(server):
            try:
                await self._servers.remove(server.id, force=False)
            except GatewayError as error:
                log.info("%s", error.detail)
