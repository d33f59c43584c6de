"""What the servers have: node types and model files."""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any

from app.errors import ComfyMissing
from app.servers.server import Server

Json = dict[str, Any]

PARALLEL = 4  # requests to one server at a time: it answers them between sampling steps


async def models(servers: Iterable[Server], folder: str | None = None) -> dict[str, list[str]]:
    """Model files by folder, all servers together. Raises ComfyMissing for an unknown folder."""
    found: dict[str, set[str]] = {}
    for part in await asyncio.gather(*(_models_of(server, folder) for server in servers)):
        for name, files in part.items():
            found.setdefault(name, set()).update(files)
    if folder is not None and folder not in found:
        raise ComfyMissing(
            f"There is no model folder {folder[:80]!r}.", hint="GET /api/models lists them."
        )
    return {name: sorted(files) for name, files in sorted(found.items())}


async def _models_of(server: Server, folder: str | None) -> dict[str, list[str]]:
    folders = [folder] if folder is not None else await server.client.model_folders()
    limit = asyncio.Semaphore(PARALLEL)

    async def files(name: str) -> tuple[str, list[str]] | None:
        async with limit:
            try:
                return name, await server.client.models(name)
            except ComfyMissing:
                return None

    return dict(filter(None, await asyncio.gather(*map(files, folders))))


def search_nodes(node_types: Mapping[str, Json], text: str) -> list[Json]:
    """Short descriptions of the node types whose names or category hold all words of `text`."""
    words = text.lower().split()
    found = []
    for class_type in sorted(node_types):
        definition = node_types[class_type]
        name = str(definition.get("display_name") or class_type)
        category = str(definition.get("category") or "")
        haystack = f"{class_type} {name} {category}".lower()
        if all(word in haystack for word in words):
            found.append(
                {
                    "class_type": class_type,
                    "display_name": name,
                    "category": category,
                    "output_node": bool(definition.get("output_node")),
                    "outputs": definition.get("output") or [],
                }
            )
    return found
