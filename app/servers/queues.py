"""The queues and histories of the servers, including prompts of other clients."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from app.comfyui.history import PromptState, Sighting
from app.errors import ComfyError, InvalidInput
from app.servers.pool import Pool
from app.servers.server import Server
from app.servers.server_json import ForeignHistoryJson, ForeignPromptJson, HeldJson

# Returns which of these ids are tasks of the gateway
Known = Callable[[Collection[str]], Awaitable[set[str]]]

# Newest history entries of a server that are searched for prompts of others
MAX_HISTORY_ENTRIES = 200


async def held_ids(server: Server) -> list[str]:
    """Return the ids of all running and pending prompts in order. Raises ComfyError."""
    queue = await server.client.queue()
    return [*_ids(queue.get("queue_running")), *_ids(queue.get("queue_pending"))]


async def held_by(pool: Pool, server_id: str | None, known: Known) -> list[HeldJson]:
    """Return what each server runs and holds pending; for an unreachable one, the reason."""
    servers = [pool.get(server_id)] if server_id else list(pool)
    return list(await asyncio.gather(*(_held(server, known) for server in servers)))


async def _held(server: Server, known: Known) -> HeldJson:
    try:
        queue = await server.client.queue()
    except ComfyError as error:
        return {"server": server.id, "online": False, "reason": error.detail}
    running, pending = (_ids(queue.get(key)) for key in ("queue_running", "queue_pending"))
    ours = await known([*running, *pending])
    return {
        "server": server.id,
        "online": True,
        "running": running,
        "pending": pending,
        "others": sum(1 for prompt_id in (*running, *pending) if prompt_id not in ours),
    }


def _ids(items: Any) -> list[str]:
    """Return prompt ids in the order of their numbers; ComfyUI keeps them in a heap."""
    rows = [item for item in items or () if isinstance(item, list) and len(item) > 1]
    rows.sort(key=lambda item: item[0] if isinstance(item[0], int | float) else 0)
    return [str(item[1]) for item in rows]


async def histories(
    servers: Iterable[Server], known: Known, limit: int
) -> list[ForeignHistoryJson]:
    """Return the finished prompts of other clients by server, newest first."""
    return list(await asyncio.gather(*(_history(server, known, limit) for server in servers)))


async def _history(server: Server, known: Known, limit: int) -> ForeignHistoryJson:
    try:
        entries = await server.client.history(max_items=max(limit, MAX_HISTORY_ENTRIES))
    except ComfyError as error:
        return {"server": server.id, "reason": error.detail, "prompts": []}
    ours = await known(list(entries))
    prompts: list[ForeignPromptJson] = [
        {"prompt_id": prompt_id, "outputs": entry.get("outputs"), "status": entry.get("status")}
        for prompt_id, entry in reversed(entries.items())
        if prompt_id not in ours and isinstance(entry, dict)
    ]
    return {"server": server.id, "prompts": prompts[:limit]}


def prompt_id_in_use() -> InvalidInput:
    """Return the error for an id in use; it does not tell by whom."""
    return InvalidInput(
        "prompt_id: it is in use.",
        hint="Send a new UUID, or none: the answer has the task's id.",
        field="prompt_id",
    )


async def check_unknown(pool: Pool, prompt_id: str) -> None:
    """Raise InvalidInput if a server knows a prompt by this id.

    Otherwise the results of that prompt would be taken for those of the new one.
    """
    finds = [server.client.find(prompt_id) for server in pool.online()]
    for sighting in await asyncio.gather(*finds, return_exceptions=True):
        if isinstance(sighting, Sighting) and sighting.state is not PromptState.UNKNOWN:
            raise prompt_id_in_use()


async def forget(servers: Iterable[Server], prompt_ids: Sequence[str]) -> None:
    """Delete prompts from the servers' histories, except from servers that do not answer."""
    if prompt_ids:
        deletions = [server.client.delete_history(list(prompt_ids)) for server in servers]
        await asyncio.gather(*deletions, return_exceptions=True)
