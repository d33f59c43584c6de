"""All the servers that we use."""

import asyncio
import re
from collections import ChainMap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from app.errors import InvalidInput, NoServer, ServerNotFound
from app.servers.core_nodes import core_node_types
from app.servers.server import Server

Json = dict[str, Any]

_ADDRESS = re.compile(r"https?://[^/\s?#@]+(/[^\s?#]*)?")


def base_url(address: str) -> str:
    """http://host:port of "host:port" or of a URL. Raises InvalidInput."""
    text = address.strip().rstrip("/")
    url = text if "://" in text else f"http://{text}"
    if not _ADDRESS.fullmatch(url):
        raise InvalidInput(
            f"{address!r} is not the address of a ComfyUI server.",
            hint="Write HOST:PORT or http(s)://HOST:PORT, such as 127.0.0.1:8188.",
        )
    return url


class Pool:
    def __init__(self, addresses: Sequence[str], *, slots: int) -> None:
        servers = [Server(base_url(address), slots) for address in addresses]
        self._servers = {server.id: server for server in servers}

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers.values())

    def get(self, server_id: str) -> Server:
        """Raises ServerNotFound. The id is the address without its scheme."""
        server = self._servers.get(server_id.split("://", 1)[-1].rstrip("/"))
        if server is None:
            known = ", ".join(self._servers) or "none"
            raise ServerNotFound(f"There is no server {server_id[:80]!r}; there are: {known}.")
        return server

    def online(self) -> list[Server]:
        return [server for server in self if server.online]

    def has_other(self, server_id: str | None, wanted: str | None) -> bool:
        """True if another server than this one could take a task right now."""
        return wanted is None and any(server.id != server_id for server in self.online())

    def choose(self, server_id: str | None) -> list[Server]:
        """The servers that are online, or the named one. Raises ServerNotFound and NoServer."""
        servers = self.online()
        if server_id is not None:
            servers = [server for server in servers if server is self.get(server_id)]
        if not servers:
            reasons = "; ".join(f"{server.id}: {server.health.reason}" for server in self)
            raise NoServer(
                f"No ComfyUI server answers ({reasons or 'none is configured'}).",
                hint="Start ComfyUI, or name its address with --comfyui-server HOST:PORT.",
            )
        return servers

    def node_types(self, server_id: str | None = None) -> Mapping[str, Json]:
        """object_info of one server, or of all together; empty while none is known."""
        servers = [self.get(server_id)] if server_id else list(self)
        return ChainMap(*(server.node_types for server in servers))

    def definitions(self, server_id: str | None = None) -> Mapping[str, Json]:
        """The same, or those of common nodes while no server has told its own."""
        return self.node_types(server_id) or core_node_types()

    async def refresh(self, server_id: str | None = None) -> bool:
        """Fetch node types again; True if some have changed."""
        servers = [self.get(server_id)] if server_id else self.online()
        return any(await asyncio.gather(*(server.refresh() for server in servers)))

    async def run(self, on_change: Callable[[], None]) -> None:
        """Watch all servers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for server in self:
                server.on_change = on_change
                group.create_task(server.run(), name=f"server {server.id}")
