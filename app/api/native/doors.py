"""Where ComfyUI's own routes are reached.

Door A is the root of the main port, without what the gateway's own routes answer. Door B is below
/comfy, and /comfy/~TOKEN with a key in the path. Door C are further ports. Whichever door a request
comes through, its path becomes one below /comfy, without the /api that ComfyUI puts before all
routes a second time: so there is one route for each.
"""

from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import QueryParams
from starlette.types import Scope

PREFIX = "/comfy"
_TOKEN = "/~"
_KEY = "comfyui_gateway.door"
# First segments of ComfyUI's routes, each of which is there with /api before it, too.
TWINS = frozenset(
    {
        *("prompt", "queue", "history", "interrupt", "view", "upload", "object_info", "models"),
        *("view_metadata", "embeddings", "system_stats", "free", "features", "extensions", "ws"),
        *("internal", "manager", "customnode", "etn", "node_replacements"),
    }
)
# First segments of routes that are below /api only.
ONLY_API = frozenset({"jobs"})
# Reads that the gateway's own API answers at these paths.
_OURS = frozenset({"queue", "history", "features", "models", "embeddings"})
_NOT_AT_ROOT = frozenset({"ws", "internal", "manager", "customnode", "etn"})


@dataclass(frozen=True, slots=True)
class Door:
    """The door of a request. `token`: the secret in its path; `key_name`: of the key of a port."""

    kind: Literal["root", "path", "port"]
    token: str | None = None
    key_name: str | None = None


def door_of(scope: Scope) -> Door | None:
    """Return the door that a request came through; None: it is for the gateway's own API."""
    door: Door | None = scope.get(_KEY)
    return door


def is_below_token(door: Door | None, *, keys_in_use: bool) -> bool:
    """Return whether the path holds a secret, so that who asks there has been let in by its owner.

    Without API keys it says nothing: anything may stand in its place.
    """
    return keys_in_use and door is not None and door.token is not None


def enter(scope: Scope, door: Door, rest: str) -> None:
    """Let a request through: `rest` is its path in ComfyUI's terms.

    The scope itself is changed, as the server logs from it: no token is to stay there.
    """
    # Two slashes: an address that was entered with one at its end, by a client that adds its own.
    path = PREFIX + without_api(f"/{rest.lstrip('/')}")
    scope["path"], scope["raw_path"] = path, path.encode()
    scope[_KEY] = door


def find_door(scope: Scope) -> tuple[Door, str] | None:
    """Return the door A or B of a request, and its path in ComfyUI's terms."""
    path = scope["path"]
    if path == PREFIX or path.startswith(f"{PREFIX}/"):
        path = path[len(PREFIX) :]
        return _with_token(path) or (Door("path"), path or "/")
    return _with_token(path) or _at_root(scope, path)


def without_api(path: str) -> str:
    """Return the path of a route's twin below /api as the route's own."""
    first = path.removeprefix("/api/").partition("/")[0]
    return path.removeprefix("/api") if first in TWINS and path.startswith("/api/") else path


def at_root() -> list[str]:
    """Return the paths below which door A is, of ComfyUI's routes without /api."""
    return [f"/{first}" for first in sorted(TWINS - _NOT_AT_ROOT)]


def _with_token(path: str) -> tuple[Door, str] | None:
    # At the root as well: a proxy, or the setting of a base path, may have taken /comfy out.
    if not path.startswith(_TOKEN):
        return None
    token, _, rest = path[len(_TOKEN) :].partition("/")
    return Door("path", token=token), f"/{rest}"


def _at_root(scope: Scope, path: str) -> tuple[Door, str] | None:
    if path.startswith("//"):  # see `enter`
        path = f"/{path.lstrip('/')}"
    if path in ("/ws", "/api/ws"):
        is_native = path == "/api/ws" or "clientId" in QueryParams(scope["query_string"])
        return (Door("root"), path) if is_native and scope["type"] == "websocket" else None
    below = path.removeprefix("/api")
    first, _, more = below[1:].partition("/")
    is_twin = below != path
    if is_twin and (_is_ours(scope, first, more) or first not in TWINS | ONLY_API):
        return None
    is_known = is_twin or first in TWINS
    return (Door("root"), path) if is_known and first not in _NOT_AT_ROOT else None


def _is_ours(scope: Scope, first: str, more: str) -> bool:
    """Return whether the gateway's own API has this path below /api."""
    if first == "interrupt":
        return bool(more)
    return first in _OURS and (scope.get("method") in ("GET", "HEAD") or bool(more))
