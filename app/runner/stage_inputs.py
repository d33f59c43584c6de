"""Stages the uploads that a prompt names on the server that runs it."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO

from app.errors import GatewayError, MissingAsset
from app.files.staged_names import readable
from app.files.uploads import Upload, Uploads
from app.limits.json_types import Json
from app.servers.server import Server
from app.tasks.outcome import Outcome, reworded
from app.workflows.parameters.model import names_file
from app.workflows.references.assets import references, replaced

log = logging.getLogger(__name__)


FORGET_TIMEOUT = 5.0  # seconds for a server to overwrite a deleted upload


async def stage_inputs(
    prompt: Json, server: Server, uploads: Uploads
) -> tuple[Json, dict[str, str]]:
    """Return the prompt with staged file names, and a map from these to the upload names.

    Each upload is looked up and transferred once, however often the prompt names it. Names that are
    no uploads are kept: the server may have such a file. Raises MissingAsset if the file of a
    reference is gone or has changed.
    """
    named, infos = list(_named_files(prompt, server.node_types)), list(references(prompt))
    wanted = dict.fromkeys([*(value for _, _, value in named), *map(_name_of, infos)])
    found = {name: await uploads.get(name) for name in wanted if await uploads.exists(name)}
    for info in infos:
        upload = found.get(_name_of(info))
        if upload is None or upload.hash != info.get("hash"):
            raise MissingAsset(f"The asset {info['id']!r} that the workflow refers to is gone.")
    there = {name: await _place(name, upload, server, uploads) for name, upload in found.items()}
    staged = dict(prompt)
    for node_id, name, value in named:
        if value in there:
            node = staged[node_id]
            staged[node_id] = {**node, "inputs": {**node["inputs"], name: there[value]}}
    if infos:
        staged = {
            node_id: replaced(node, lambda info: there[_name_of(info)])
            for node_id, node in staged.items()
        }
    return staged, {staged_as: name for name, staged_as in there.items()}


def _name_of(info: Json) -> str:
    """Return the name of the upload that the `info` of a reference describes."""
    return str(info.get("file_path"))


async def empty_everywhere(pool: Iterable[Server], name: str) -> None:
    """Overwrite a staged file with an empty one on all servers: ComfyUI cannot delete inputs.

    A server that does not answer in time keeps the file.
    """
    servers = [server for server in pool if server.online]
    emptying = (_empty(server, name) for server in servers)
    ends = await asyncio.gather(*emptying, return_exceptions=True)
    for server, end in zip(servers, ends, strict=True):
        if isinstance(end, GatewayError | TimeoutError):
            log.warning("%s keeps the deleted upload %s: %r", server.id, name, end)
        elif end is not None:
            raise end


async def _empty(server: Server, name: str) -> None:
    async with asyncio.timeout(FORGET_TIMEOUT), server.placing:
        if await server.client.input_size(name):
            await server.client.upload_input(name, BytesIO(), overwrite=True)


async def _place(name: str, upload: Upload, server: Server, uploads: Uploads) -> str:
    """Return the upload's name on the server; transfer it if it is not there.

    Checked for every prompt, since staged files can be emptied or removed by the server's admin.
    """
    there = await uploads.staged_name(upload.key, upload.hash)
    async with server.placing:
        if await server.client.input_size(there) == upload.size_bytes:
            return there
        async with uploads.on_disk(name) as path:
            with path.open("rb") as content:
                # Any other size means an incomplete or emptied file, which no prompt uses.
                return await server.client.upload_input(there, content, overwrite=True)


def _named_files(prompt: Json, node_types: Json) -> Iterator[tuple[str, str, str]]:
    """Yield (node id, input name, value) for the inputs that name an input file."""
    for node_id, node in prompt.items():
        for name, value in node["inputs"].items():
            if isinstance(value, str) and value and names_file(node, name, node_types):
                yield node_id, name, value


def readable_outcome(outcome: Outcome, names: Mapping[str, str]) -> Outcome:
    """Return the outcome with staged names in ComfyUI's texts replaced by upload names.

    Names of other users' uploads are removed.
    """
    return reworded(outcome, lambda text: readable(text, names))
