"""object_info as bytes, with the caller's uploads as choices: encoded once, then sent again."""

import asyncio
import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from blake3 import blake3

from app.limits.json_types import Json
from app.limits.lru_cache import BoundedCache
from app.limits.worker_threads import Workers
from app.workflows.parameters.upload_choices import Uploads, takes_any_upload, with_choices

# Bytes of all that is kept. One is 2 MB, and 0.2 MB compressed: as many callers at a time.
MAX_KEPT = 32 << 20
LEVEL = 6  # of compression: 20 ms for 2 MB


@dataclass(frozen=True, slots=True)
class Encoded:
    """The JSON, the same compressed (gzip), and what identifies it."""

    content: bytes = field(repr=False)
    packed: bytes = field(repr=False)
    version: str


@dataclass(frozen=True, slots=True)
class _Parts:
    """The encoded entries of all node types that are the same for everybody, and the others."""

    of: Mapping[str, Json] = field(repr=False)
    shared: bytes = field(repr=False)
    own: Mapping[str, Json] = field(repr=False)


class EncodedNodes:
    """Encodes the node types of all servers; remembers it for the callers that asked last."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._known: BoundedCache[str, Encoded] = BoundedCache(MAX_KEPT, _size_of)
        self._parts = _Parts({}, b"", {})
        self._one_at_a_time = asyncio.Lock()

    async def all(self, node_types: Mapping[str, Json], uploads: Uploads) -> Encoded:
        """Return all of them. They are known to be the same by the identity of the mapping."""
        async with self._one_at_a_time:
            if self._parts.of is not node_types:
                self._known.clear()
                self._parts = await self._workers.run(_parted, node_types)
            whose = blake3("\0".join(sorted(f"{name}\0{kind}" for name, kind in uploads)).encode())
            found = self._known.get(whose.hexdigest())
            if found is None:
                found = await self._workers.run(_whole, self._parts, uploads)
                self._known.put(whose.hexdigest(), found)
            return found


def one(class_type: str, definition: Json, uploads: Uploads) -> Json:
    """Return one node type as /object_info/{class} has it."""
    return with_choices(class_type, _with_limits(definition), uploads)


def _size_of(encoded: Encoded) -> int:
    return len(encoded.content) + len(encoded.packed)


def _parted(node_types: Mapping[str, Json]) -> _Parts:
    plain = {name: _with_limits(definition) for name, definition in node_types.items()}
    own = {name: each for name, each in plain.items() if takes_any_upload(name, each)}
    shared = {name: each for name, each in plain.items() if name not in own}
    return _Parts(node_types, _inner(shared), own)


def _whole(parts: _Parts, uploads: Uploads) -> Encoded:
    own = {name: with_choices(name, each, uploads) for name, each in parts.own.items()}
    content = b"{" + b", ".join(filter(None, (parts.shared, _inner(own)))) + b"}"
    packed = gzip.compress(content, LEVEL, mtime=0)
    return Encoded(content, packed, blake3(content).hexdigest()[:32])


def _inner(found: Mapping[str, Json]) -> bytes:
    """Return the JSON of an object without its braces."""
    return json.dumps(found).encode()[1:-1]


def _with_limits(definition: Json) -> Json:
    """Return a node type of several servers with the limits that all of them accept.

    They stand beside the limits of the first one, under the key "everywhere" (app/servers/
    inventory.py), which ComfyUI does not have.
    """
    sections = definition.get("input")
    if not isinstance(sections, dict) or "everywhere" not in str(sections):
        return definition
    found = {
        section: {name: _limited(each) for name, each in inputs.items()}
        if isinstance(inputs, dict)
        else inputs
        for section, inputs in sections.items()
    }
    return {**definition, "input": found}


def _limited(definition: object) -> object:
    match definition:
        case ["INT", {"everywhere": dict(limits), **options}, *rest]:
            return ["INT", {**options, **limits}, *rest]
    return definition
