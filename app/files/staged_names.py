"""Names of uploads on servers. Pure.

There they lie in one folder with everybody's, so their names tell nothing and cannot be guessed:
gw-<whose it is>-<what it is>.png, both hashes with a secret of this installation. They are taken
out of all that a server tells, and out of prompts of those whose they are not.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from blake3 import blake3

HIDDEN = "(an upload)"
SECRET_BYTES = 32
_NAME = re.compile(r"gw-([0-9a-f]{8})-[0-9a-f]{32}", re.IGNORECASE)
_IN_TEXTS = re.compile(r"gw-[0-9a-f]{8}-[0-9a-f]{32}(\.[a-z0-9]{1,12})?", re.IGNORECASE)
# What Windows calls such files besides: GW-3F1~1.PNG, or GW3F1C~1.PNG.
_SHORT = re.compile(r"(?:^|[/\\])gw-?[0-9a-f]{0,4}~\d", re.IGNORECASE)
_WHERE = re.compile(r".\[(input|output|temp)\]$", re.DOTALL)  # which folder: "name [input]"
LONGEST = 1000  # characters of a value that may be the name of a file


def name_of(secret: bytes, place: str, name: str, digest: str) -> str:
    """The name on servers of an upload at `place` (its folder in the store) with this hash. The
    same for the same bytes under the same name, so that ComfyUI's cache knows them."""
    what = blake3("\0".join(("file", place, name, digest)).encode(), key=secret).hexdigest()[:32]
    _, dot, suffix = name.rpartition(".")
    kept = f".{suffix.lower()}" if dot and re.fullmatch(r"[A-Za-z0-9]{1,12}", suffix) else ""
    return f"gw-{tag_of(secret, place)}-{what}{kept}"


def tag_of(secret: bytes, place: str) -> str:
    """Whose the uploads at a place are: as it stands in their names."""
    return blake3(f"owner\0{place}".encode(), key=secret).hexdigest()[:8]


def tags_in(text: str) -> set[str]:
    """Of all the names of uploads that stand anywhere in a text, whoever placed them."""
    return {tag.lower() for tag in _NAME.findall(text)}


def is_short_for_one(text: str) -> bool:
    return len(text) <= LONGEST and _SHORT.search(text) is not None


def is_staged(text: Any) -> bool:
    """Whether a choice of a server's is a file that a gateway placed."""
    return isinstance(text, str) and _NAME.search(text) is not None


def without_staged(value: Any) -> Any:
    """A value of a server's JSON without the files that gateways placed: they are left out of
    lists, and texts that are one become empty. The same object where there are none."""
    if isinstance(value, str):
        return "" if is_staged(value) else value
    if isinstance(value, list):
        kept = [
            item if isinstance(item, str) else without_staged(item)
            for item in value
            if not is_staged(item)
        ]
        return value if _same(kept, value) else kept
    if isinstance(value, dict):
        found = {name: without_staged(item) for name, item in value.items()}
        return value if _same(found.values(), value.values()) else found
    return value


def readable(text: str, names: Mapping[str, str]) -> str:
    """What a server says, with the uploads' own names in place of theirs there (`names`), and
    without those of others."""
    return _IN_TEXTS.sub(lambda found: names.get(found[0], HIDDEN), text)


def folder_named(text: str) -> str | None:
    """input, output or temp, if it stands behind the name; ComfyUI takes it from any input."""
    found = _WHERE.search(text) if len(text) <= LONGEST else None
    return found[1] if found else None


def leads_out(text: str) -> bool:
    """Whether the name of a file leads out of the server's input folder, on any system."""
    path = text.replace("\\", "/")
    return path.startswith(("/", "~")) or path[1:2] == ":" or ".." in path.split("/")


def is_absolute(text: str) -> bool:
    """Whether it is a path from the root of a disk, or from somebody's home."""
    path = text.replace("\\", "/")
    return path.startswith(("/", "~/")) or path[1:3] == ":/" or path[:5].lower() == "file:"


def _same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    one, other = list(one), list(other)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
