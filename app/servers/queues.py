"""The servers' own queues and histories, with strangers' prompts in them."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

from app.comfyui.history import PromptState, Sighting
from app.errors import ComfyError, InvalidInput
from app.limits.json_types import Json
from app.servers.pool import Pool
from app.servers.server import Server

Known = Callable[[Collection[str]], Awaitable[set[str]]]  # which of these ids are ours

MAX_HISTORY_ENTRIES = 200  # newest entries of a server's history among which strangers' are sought


async def held_ids(server: Server) -> list[str]:
    """All prompts that it runs or holds waiting, in order. Raises ComfyError."""
    queue = await server.client.queue()
    return [*_ids(queue.get("queue_running")), *_ids(queue.get("queue_pending"))]


async def held_by(pool: Pool, server_id: str | None, known: Known) -> list[Json]:
    """What each server runs and holds waiting; a server that does not answer says why."""
    servers = [pool.get(server_id)] if server_id else list(pool)
    return list(await asyncio.gather(*(_held(server, known) for server in servers)))


async def _held(server: Server, known: Known) -> Json:
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
    """Prompt ids in the order of their numbers; ComfyUI keeps them in a heap."""
    rows = [item for item in items or () if isinstance(item, list) and len(item) > 1]
    rows.sort(key=lambda item: item[0] if isinstance(item[0], int | float) else 0)
    return [str(item[1]) for item in rows]


async def histories(servers: Iterable[Server], known: Known, limit: int) -> list[Json]:
    """Finished prompts that are not ours, by server, newest first."""
    return list(await asyncio.gather(*(_history(server, known, limit) for server in servers)))


async def _history(server: Server, known: Known, limit: int) -> Json:
    try:
        entries = await server.client.history(max_items=max(limit, MAX_HISTORY_ENTRIES))
    except ComfyError as error:
        return {"server": server.id, "reason": error.detail, "prompts": []}
    ours = await known(list(entries))
    prompts = [
        {"prompt_id": prompt_id, "outputs": entry.get("outputs"), "status": entry.get("status")}
        for prompt_id, entry in reversed(entries.items())
        if prompt_id not in ours and isinstance(entry, dict)
    ]
    return {"server": server.id, "prompts": prompts[:limit]}


def prompt_id_in_use() -> InvalidInput:
    """By whomever: that is told to nobody."""
    return InvalidInput(
        "prompt_id: it is in use.",
        hint="Send a new UUID, or none: the answer has the task's id.",
        field="prompt_id",
    )


async def check_unknown(pool: Pool, prompt_id: str) -> None:
    """Raises InvalidInput if a server knows a prompt by this id: what that one made would pass
    for the new one's."""
    finds = [server.client.find(prompt_id) for server in pool.online()]
    for sighting in await asyncio.gather(*finds, return_exceptions=True):
        if isinstance(sighting, Sighting) and sighting.state is not PromptState.UNKNOWN:
            raise prompt_id_in_use()


async def forget(servers: Iterable[Server], prompt_ids: Sequence[str]) -> None:
    """Remove prompts from the servers' histories; a server that does not answer keeps them."""
    if prompt_ids:
        deletions = [server.client.delete_history(list(prompt_ids)) for server in servers]
        await asyncio.gather(*deletions, return_exceptions=True)
