"""Which further routes of node packs one server answers: the setting COMFYUI_NATIVE_PASS. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from app.errors import InvalidInput
from app.servers.addresses import base_url

# First folders of ComfyUI's own routes, which the gateway answers, and of those that change or show
# the machine.
_NEVER = frozenset(
    {
        *("prompt", "queue", "history", "interrupt", "view", "upload", "object_info", "models"),
        *("view_metadata", "embeddings", "system_stats", "free", "features", "extensions", "ws"),
        *("jobs", "internal", "manager", "customnode", "v2"),
    }
)
_PATTERN = re.compile(r"/[A-Za-z0-9._~-]+(/[A-Za-z0-9._~*-]*)*")


@dataclass(frozen=True, slots=True)
class Pass:
    """Routes of one server. `path`: below /api or not, with `*` for any text; `server`: its id."""

    path: str
    server: str

    @property
    def regex(self) -> str:
        """A regular expression for a path as the server has it, with or without /api before it."""
        return "(?:/api)?" + ".*".join(map(re.escape, self.path.split("*")))


def checked_pass(text: str) -> str:
    """Return an entry of the setting with the whole address of its server. Raises InvalidInput."""
    pattern, _, address = text.partition(":")
    path = pattern.removeprefix("/api")
    first = path.removeprefix("/").partition("/")[0]
    if not _PATTERN.fullmatch(path) or {".", ".."} & set(path.split("/")):
        raise InvalidInput(
            f"{pattern!r} is no pattern of paths.",
            hint="Write PATTERN:SERVER, such as /api/etn/*:127.0.0.1:8188; only what follows the "
            "first folder may have a *.",
        )
    if first in _NEVER:
        raise InvalidInput(
            f"{pattern!r}: routes below /{first} are answered by the gateway, or by nobody.",
            hint="Name routes of node packs.",
        )
    return f"{pattern}:{base_url(address)}"


def passes_of(entries: Iterable[str]) -> list[Pass]:
    """Parse the setting. Raises InvalidInput."""
    found = []
    for entry in map(checked_pass, entries):
        pattern, _, address = entry.partition(":")
        found.append(Pass(pattern.removeprefix("/api"), address.split("://", 1)[-1]))
    return found
