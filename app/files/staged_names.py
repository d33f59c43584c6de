"""Names of staged uploads on servers. Pure.

On a server all uploads are in one folder, so their names must reveal nothing and not be guessable:
gw-<owner hash>-<content hash>.png, keyed with a secret of this installation. They are removed from
everything that a server reports, and prompts of other owners may not contain them.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from blake3 import blake3

HIDDEN = "(an upload)"
SECRET_BYTES = 32
_NAME = re.compile(r"gw-([0-9a-f]{8})-[0-9a-f]{32}", re.IGNORECASE)
_IN_TEXTS = re.compile(r"gw-[0-9a-f]{8}-[0-9a-f]{32}(\.[a-z0-9]{1,12})?", re.IGNORECASE)
# Short names of such files on Windows: GW-3F1~1.PNG, or GW3F1C~1.PNG.
_SHORT = re.compile(r"(?:^|[/\\])gw-?[0-9a-f]{0,4}~\d", re.IGNORECASE)
# ComfyUI's notation of the folder: "name [input]"
_WHERE = re.compile(r".\[(input|output|temp)\]$", re.DOTALL)
LONGEST = 1000  # characters of a value that may be a file name


def name_of(secret: bytes, place: str, name: str, digest: str) -> str:
    """Return the staged name of an upload at `place` (its folder in the store) with this hash.

    The same bytes with the same name get the same staged name, so that ComfyUI's cache recognizes
    them.
    """
    what = blake3("\0".join(("file", place, name, digest)).encode(), key=secret).hexdigest()[:32]
    _, dot, suffix = name.rpartition(".")
    kept = f".{suffix.lower()}" if dot and re.fullmatch(r"[A-Za-z0-9]{1,12}", suffix) else ""
    return f"gw-{tag_of(secret, place)}-{what}{kept}"


def tag_of(secret: bytes, place: str) -> str:
    """Return the tag in staged names that identifies the owner of the uploads at a place."""
    return blake3(f"owner\0{place}".encode(), key=secret).hexdigest()[:8]


def tags_in(text: str) -> set[str]:
    """Return the tags of all staged names that occur in a text."""
    return {tag.lower() for tag in _NAME.findall(text)}


def is_short_for_one(text: str) -> bool:
    return len(text) <= LONGEST and _SHORT.search(text) is not None


def is_staged(text: Any) -> bool:
    """Return whether a choice of a server is a file staged by a gateway."""
    return isinstance(text, str) and _NAME.search(text) is not None


def may_name_staged(text: str) -> bool:
    """Return whether a long text is to be searched for staged names; quicker than the search."""
    return "gw-" in text.lower()


def without_staged(value: Any) -> Any:
    """Return a server's JSON without staged files.

    They are dropped from lists, and replaced by "" elsewhere. Unchanged values are returned as is.
    """
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
    """Replace staged names in a text by those in `names`, and all others by HIDDEN."""
    return _IN_TEXTS.sub(lambda found: names.get(found[0], HIDDEN), text)


def folder_named(text: str) -> str | None:
    """Return the folder (input, output, temp) named in a value, as ComfyUI accepts it, or None."""
    found = _WHERE.search(text) if len(text) <= LONGEST else None
    return found[1] if found else None


def leads_out(text: str) -> bool:
    """Return whether a file name leads out of the server's input folder, on any system."""
    path = text.replace("\\", "/")
    return path.startswith(("/", "~")) or path[1:2] == ":" or ".." in path.split("/")


def is_absolute(text: str) -> bool:
    """Return whether the text is a path from a root or a home directory."""
    path = text.replace("\\", "/")
    return path.startswith(("/", "~/")) or path[1:3] == ":/" or path[:5].lower() == "file:"


def _same(one: Iterable[Any], other: Iterable[Any]) -> bool:
    one, other = list(one), list(other)
    return len(one) == len(other) and all(a is b for a, b in zip(one, other, strict=True))
