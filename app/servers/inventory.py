"""Node types and model files of the servers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

from app.errors import ComfyError, ComfyMissing
from app.limits.json_types import Json
from app.servers.server import Server
from app.workflows.checks.model_files import with_slashes

T = TypeVar("T")
PARALLEL = 4  # requests to one server at a time, which answers them between sampling steps


async def models(servers: Iterable[Server], folder: str | None = None) -> dict[str, list[str]]:
    """Return the models of all servers by folder. Raises ComfyMissing for an unknown folder."""
    found: dict[str, list[str]] = {}
    for part in await of_all(servers, lambda server: _models_of(server, folder)):
        for name, files in part.items():
            found.setdefault(name, []).extend(files)
    if folder is not None and folder not in found:
        raise ComfyMissing(
            f"There is no model folder {folder[:80]!r}.", hint="GET /api/models lists them."
        )
    return {name: each_once(files) for name, files in sorted(found.items())}


async def model_folders(servers: Iterable[Server]) -> list[str]:
    """Return the names of the model folders of all servers, in the order of the first one."""
    lists = await of_all(servers, lambda server: server.client.model_folders())
    return list(dict.fromkeys(name for names in lists for name in names))


async def model_files(servers: Iterable[Server], folder: str) -> list[str]:
    """Return the files in a model folder, in the order of the first server that has it.

    Raises ComfyMissing for a folder that no server has.
    """
    return in_order(await of_all(servers, lambda server: server.client.models(folder)))


async def embeddings(servers: Iterable[Server]) -> list[str]:
    """Return the names of the embeddings of all servers, in the order of the first one."""
    return in_order(await of_all(servers, lambda server: server.client.embeddings()))


def in_order(lists: Iterable[Iterable[str]]) -> list[str]:
    """Return all names in their order; those that differ only in their separators are one."""
    found: dict[str, str] = {}
    for name in chain.from_iterable(lists):
        found.setdefault(with_slashes(name), name)
    return list(found.values())


async def features(servers: Iterable[Server]) -> Json:
    """Return the features that all servers support, as far as they agree on their values."""
    told = await of_all(servers, lambda server: server.client.features())
    found = told[0]
    for other in told[1:]:
        found = common(found, other)
    return found


def common(one: Json, other: Json) -> Json:
    """Return the features that two servers have in common; of flags, those that are set at both."""
    found: Json = {}
    for name in one.keys() & other.keys():
        mine, theirs = one[name], other[name]
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found[name] = common(mine, theirs)
        elif isinstance(mine, bool) and isinstance(theirs, bool):
            found[name] = mine and theirs
        elif mine == theirs:
            found[name] = mine
    return found


async def of_all(servers: Iterable[Server], ask: Callable[[Server], Awaitable[T]]) -> list[T]:
    """Return the answers of the servers that answer. Raises ComfyError if none does."""
    answers = await asyncio.gather(*map(ask, servers), return_exceptions=True)
    found, failures = [], []
    for answer in answers:
        if isinstance(answer, BaseException):
            if not isinstance(answer, ComfyError):
                raise answer
            failures.append(answer)
        else:
            found.append(answer)
    if failures and not found:
        raise failures[0]
    return found


def each_once(names: Iterable[str]) -> list[str]:
    """Return the names sorted, with those that differ only in their path separators merged."""
    return sorted({with_slashes(name): name for name in sorted(names, reverse=True)}.values())


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
    """Return short descriptions of the node types whose names or category contain all words."""
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


def merged(all_node_types: Sequence[Mapping[str, Json]]) -> Mapping[str, Json]:
    """Merge the node types of several servers into one object_info.

    Where definitions differ the first one is used, with the choices of all servers.
    """
    if len(all_node_types) == 1:
        return all_node_types[0]
    result: Json = {}
    for node_types in all_node_types:
        for name, definition in node_types.items():
            known = result.setdefault(name, definition)
            if known is not definition and known != definition:
                result[name] = {**known, "input": _merged_inputs(known, definition)}
    return result


def _merged_inputs(one: Json, other: Json) -> Json:
    sections = dict(one.get("input") or {})
    for section, inputs in (other.get("input") or {}).items():
        mine = sections.get(section)
        if isinstance(inputs, dict) and isinstance(mine, dict | None):
            sections[section] = {**inputs, **(mine or {})}
            for name, definition in (mine or {}).items():
                if name in inputs:
                    sections[section][name] = _merged_choices(definition, inputs[name])
    return sections


def _merged_choices(one: Any, other: Any) -> Any:
    """Merge the definitions of an input.

    Choices are merged in both notations: [[choices], options] and ["COMBO", {"options": choices}].
    An INT gets the limits that all servers accept, under the key "everywhere".
    """
    if not (isinstance(one, list) and isinstance(other, list) and one and other):
        return one
    if isinstance(one[0], list) and isinstance(other[0], list):
        return [_union(one[0], other[0]), *one[1:]]
    if one[0] == other[0] == "INT":
        return _with_common_limits(one, other)
    mine, theirs = (_listed(definition) for definition in (one, other))
    if one[0] == "COMBO" and mine is not None and theirs is not None:
        return [one[0], {**one[1], "options": _union(mine, theirs)}, *one[2:]]
    return one


def _with_common_limits(one: list[Any], other: list[Any]) -> list[Any]:
    mine, theirs = (part[1] if len(part) > 1 else {} for part in (one, other))
    if not (isinstance(mine, dict) and isinstance(theirs, dict)):
        return one
    known = mine.get("everywhere", mine)
    limits: Json = {}
    for name, choose in (("min", max), ("max", min)):
        told = [part[name] for part in (known, theirs) if isinstance(part.get(name), int)]
        limits |= {name: choose(told)} if told else {}
    return [one[0], {**mine, "everywhere": limits}, *one[2:]]


def _listed(definition: list[Any]) -> list[Any] | None:
    options = definition[1] if len(definition) > 1 else None
    choices = options.get("options") if isinstance(options, dict) else None
    return choices if isinstance(choices, list) else None


def _union(one: list[Any], other: list[Any]) -> list[Any]:
    """Return the union of choices; those that differ only in their separators are one.

    Each server later gets its own spelling.
    """
    known = {with_slashes(choice) for choice in one if isinstance(choice, str)}
    return one + [
        choice
        for choice in other
        if (with_slashes(choice) not in known if isinstance(choice, str) else choice not in one)
    ]
