"""Detection of servers that are already in the pool under another address."""

from app.comfyui.identity import is_one_process
from app.errors import ServerExists
from app.servers.addresses import may_be_one_machine
from app.servers.pool import Pool


async def refuse_twin(pool: Pool, url: str) -> None:
    """Raise ServerExists if `url` leads to a server that is in the pool under another address.

    A server that does not answer is not detected.
    """
    for server in pool:
        if url == server.base_url or not await may_be_one_machine(url, server.base_url):
            continue
        if await is_one_process(server.base_url, url):
            id = url.split("://", 1)[-1]
            raise ServerExists(
                f"{id} is the server that is in use as {server.id}.",
                hint=f"Use {server.id}, or remove that first (DELETE /api/servers/{server.id}).",
            )
