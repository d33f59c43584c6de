"""Tasks that came through ComfyUI's own protocol (app/api/native). Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from blake3 import blake3

from app.limits.json_types import Json


@dataclass(frozen=True, slots=True)
class NativePrompt:
    """What a client of ComfyUI's own protocol says of its prompt, as far as the queue needs it."""

    number: float  # ComfyUI's queue number, which clients are told again
    client_id: str | None = None  # events go to sockets with this clientId
    origin: str = ""  # a digest of where it was posted from, see `origin_of`
    lane: str | None = None  # tasks of one lane run one after the other; None without client_id


@dataclass(frozen=True, slots=True)
class NativeRequest:
    """What else was posted with it, and is told again or sent to the server.

    `targets`: partial_execution_targets. `outputs_to_execute`: as in rows of /queue and /history.
    `left_out`: nodes that only outputs need which are not run, faulty ones or no targets; they are
    no part of the task's prompt. `node_errors`: of faulty outputs, as they were answered.
    """

    outputs_to_execute: Sequence[str] = ()
    targets: Sequence[str] | None = None
    left_out: Json = field(default_factory=dict, repr=False)
    node_errors: Json = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class NativeResult:
    """What a server's history says of the prompt, as it came: files are named as there.

    `messages`: `[[type, data], ...]`, of `status`.
    """

    outputs: Json = field(default_factory=dict, repr=False)
    meta: Json = field(default_factory=dict, repr=False)
    messages: Sequence[Sequence[object]] = field(default=(), repr=False)


def origin_of(address: str, user_agent: str) -> str:
    """Return a digest (16 hex digits) of where a request comes from; the first 8 are of the
    address."""
    return _digest(8, address) + _digest(8, user_agent)


def is_of_address(origin: str, other: str) -> bool:
    """Return whether both come from one address."""
    return bool(origin) and origin[:8] == other[:8]


def lane_of(owner: str | None, address: str, client_id: str) -> str:
    """Return the lane of a client (32 hex digits).

    Without an API key, addresses tell apart who uses the same client_id.
    """
    whose = ("key", owner) if owner is not None else ("address", address)
    return _digest(32, *whose, client_id)


def _digest(length: int, *parts: str) -> str:
    return blake3("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:length]
