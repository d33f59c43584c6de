"""Put the uploads that a prompt names on the server that is to run it."""

from collections.abc import Iterator
from typing import Any

from app.files.uploads import Uploads
from app.servers.server import Server
from app.v2_errors import MissingAsset
from app.workflows.asset_refs import references, replaced
from app.workflows.parameters import names_file

Json = dict[str, Any]


async def place_inputs(prompt: Json, server: Server, uploads: Uploads) -> Json:
    """The prompt with names as they are on the server. Files go there once.

    A name that is no upload of ours is left alone: the server may have such a file itself.
    """
    placed = dict(prompt)
    for node_id, name, value in _named_files(prompt, server.node_types):
        if await uploads.exists(value):
            there = await _place(value, server, uploads)
            node = placed[node_id]
            placed[node_id] = {**node, "inputs": {**node["inputs"], name: there}}
    names = {info["id"]: await _place_asset(info, server, uploads) for info in references(placed)}
    if not names:
        return placed
    return {
        node_id: replaced(node, lambda info: names[info["id"]]) for node_id, node in placed.items()
    }


async def _place_asset(info: Json, server: Server, uploads: Uploads) -> str:
    """Its name on the server. Raises MissingAsset if the file is gone, or is another one."""
    name = str(info.get("file_path"))
    if not await uploads.exists(name) or (await uploads.get(name)).hash != info.get("hash"):
        raise MissingAsset(f"The asset {info['id']!r} that the workflow refers to is gone.")
    return await _place(name, server, uploads)


async def _place(name: str, server: Server, uploads: Uploads) -> str:
    upload = await uploads.get(name)
    if upload.placed_name not in server.placed:
        async with uploads.on_disk(name) as path:
            with path.open("rb") as content:
                # The same name with the same bytes keeps its name: no need to look first.
                there = await server.client.upload_input(upload.placed_name, content)
        if there != upload.placed_name:
            return there
        server.placed.put(there, True)
    return upload.placed_name


def _named_files(prompt: Json, node_types: Json) -> Iterator[tuple[str, str, str]]:
    """(node id, input name, value) of the inputs that name an input file."""
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if isinstance(value, str) and value and names_file(node, name, node_types):
                yield node_id, name, value
