"""Decode frames of ComfyUI's WebSocket to dataclasses. Pure.

Never raises, whatever a server sends, and all decoded values can be stored. The classes are named
after the messages. Sources: traffic recorded from ComfyUI 0.3.64 and 0.33.0
(tests/fixtures/comfyui), which send the same messages and binary frames.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from app.comfyui import wire
from app.comfyui.cleaning import cut, id_of, last_lines, name_of, number
from app.limits import text_lengths
from app.limits.json_types import Json


@dataclass(frozen=True, slots=True)
class Status:
    """The server's queue changed; `sid` is in the first message of a connection only."""

    queue_remaining: int | None
    sid: str | None = None


@dataclass(frozen=True, slots=True)
class FeatureFlags:
    """The server's answer to the gateway's feature flags."""

    flags: Json


@dataclass(frozen=True, slots=True)
class ExecutionStart:
    prompt_id: str
    timestamp: int | None = None  # ms since the epoch, as in all execution_* messages


@dataclass(frozen=True, slots=True)
class ExecutionCached:
    prompt_id: str
    nodes: tuple[str, ...]
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Executing:
    """A node starts.

    `node` None is the end of the prompt; without `prompt_id` the message answers a reconnect.
    """

    prompt_id: str | None
    node: str | None
    display_node: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    prompt_id: str | None
    node: str | None
    value: float
    max: float


@dataclass(frozen=True, slots=True)
class NodeState:
    state: str  # "running", "finished" or "error"
    value: float
    max: float


@dataclass(frozen=True, slots=True)
class ProgressState:
    """The state of all nodes of the prompt that are no longer pending."""

    prompt_id: str
    nodes: dict[str, NodeState]


@dataclass(frozen=True, slots=True)
class Executed:
    """The `ui` result of a node; `output` is None for cached output nodes without one."""

    prompt_id: str
    node: str
    output: Json | None
    display_node: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionSuccess:
    """All nodes ran. The history entry may be missing until `Executing` with `node` None."""

    prompt_id: str
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionError:
    prompt_id: str
    node_id: str | None
    node_type: str | None
    exception_type: str
    exception_message: str
    traceback: tuple[str, ...] = ()
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class ExecutionInterrupted:
    prompt_id: str
    node_id: str | None
    node_type: str | None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Preview:
    """An image sent while a node works (binary types 1 and 4); type 1 has no ids."""

    content_type: str
    image: bytes = field(repr=False)
    prompt_id: str | None = None
    node_id: str | None = None


@dataclass(frozen=True, slots=True)
class NodeText:
    """A line of text from a node (binary type 3); sent to every client, without a prompt id."""

    node_id: str
    text: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of an unknown type, as node packs have, or one that could not be decoded."""

    type: str
    data: Any = None

    @property
    def prompt_id(self) -> str | None:
        found = self.data.get("prompt_id") if isinstance(self.data, dict) else None
        return found if isinstance(found, str) else None


UNREADABLE = "unreadable"  # the type of a message that could not be decoded

Event = (
    Status
    | FeatureFlags
    | ExecutionStart
    | ExecutionCached
    | Executing
    | Progress
    | ProgressState
    | Executed
    | ExecutionSuccess
    | ExecutionError
    | ExecutionInterrupted
    | Preview
    | NodeText
    | Unknown
)


def decode(frame: str | bytes) -> Event:
    """Decode one WebSocket frame, text or binary."""
    try:
        if isinstance(frame, bytes):
            return _binary(frame)
        message = wire.loads(frame)
        return decode_message(name_of(message["type"]), message.get("data"))
    except _DECODING_ERRORS as error:
        return Unknown(UNREADABLE, repr(error))


def decode_message(kind: str, data: Any) -> Event:
    """Decode the type and data of a message, from a text frame or a history entry."""
    reader = _READERS.get(kind)
    try:
        return reader(data) if reader else Unknown(kind, data)
    except _DECODING_ERRORS as error:
        return Unknown(UNREADABLE, repr(error))


_DECODING = (KeyError, ValueError, TypeError, AttributeError, RecursionError)
_DECODING_ERRORS = (*_DECODING, OverflowError, struct.error)


LATEST = 1e14  # ms since the epoch; later timestamps are ignored


def _time(data: Json) -> int | None:
    value = data.get("timestamp")
    return int(value) if isinstance(value, int | float) and 0 <= value < LATEST else None


def _status(data: Json) -> Status:
    remaining = data["status"]["exec_info"]["queue_remaining"]
    return Status(int(number(remaining)), id_of(data.get("sid")))


def _executing(data: Json) -> Executing:
    return Executing(
        id_of(data.get("prompt_id")), id_of(data.get("node")), id_of(data.get("display_node"))
    )


def _progress(data: Json) -> Progress:
    value, maximum = number(data["value"]), number(data["max"])
    return Progress(id_of(data.get("prompt_id")), id_of(data.get("node")), value, maximum)


def _progress_state(data: Json) -> ProgressState:
    nodes = {
        name_of(node_id): NodeState(
            name_of(node["state"]), number(node.get("value")), number(node.get("max"))
        )
        for node_id, node in data["nodes"].items()
    }
    return ProgressState(name_of(data["prompt_id"]), nodes)


def _executed(data: Json) -> Executed:
    output = data.get("output")
    return Executed(
        name_of(data["prompt_id"]),
        name_of(data["node"]),
        output if isinstance(output, dict) else None,
        id_of(data.get("display_node")),
    )


def _execution_cached(data: Json) -> ExecutionCached:
    nodes = tuple(name_of(node) for node in data.get("nodes") or ())
    return ExecutionCached(name_of(data["prompt_id"]), nodes, _time(data))


def _execution_error(data: Json) -> ExecutionError:
    return ExecutionError(
        prompt_id=name_of(data["prompt_id"]),
        node_id=id_of(data.get("node_id")),
        node_type=id_of(data.get("node_type")),
        exception_type=cut(data.get("exception_type") or "Exception", text_lengths.EXCEPTION_TYPE),
        exception_message=cut(data.get("exception_message") or "", text_lengths.MESSAGE).strip(),
        traceback=last_lines(data.get("traceback")),
        timestamp=_time(data),
    )


def _execution_interrupted(data: Json) -> ExecutionInterrupted:
    return ExecutionInterrupted(
        name_of(data["prompt_id"]),
        id_of(data.get("node_id")),
        id_of(data.get("node_type")),
        _time(data),
    )


_READERS: dict[str, Callable[[Json], Event]] = {
    "status": _status,
    "feature_flags": lambda data: FeatureFlags(dict(data)),
    "execution_start": lambda data: ExecutionStart(name_of(data["prompt_id"]), _time(data)),
    "execution_cached": _execution_cached,
    "executing": _executing,
    "progress": _progress,
    "progress_state": _progress_state,
    "executed": _executed,
    "execution_success": lambda data: ExecutionSuccess(name_of(data["prompt_id"]), _time(data)),
    "execution_error": _execution_error,
    "execution_interrupted": _execution_interrupted,
}

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
_IMAGE_FORMATS = {1: "image/jpeg", 2: "image/png"}


def _binary(frame: bytes) -> Event:
    (kind,) = struct.unpack_from(">I", frame)
    if kind == _PREVIEW:
        (image_format,) = struct.unpack_from(">I", frame, 4)
        return Preview(_IMAGE_FORMATS[image_format], frame[8:])
    if kind == _TEXT:
        node_id, text = _split(frame)
        return NodeText(
            name_of(node_id.decode()), cut(text.decode(errors="replace"), text_lengths.TEXT)
        )
    if kind == _PREVIEW_WITH_METADATA:
        header, image = _split(frame)
        metadata = wire.loads(header)
        return Preview(
            cut(metadata.get("image_type") or "image/jpeg", text_lengths.CONTENT_TYPE),
            image,
            id_of(metadata.get("prompt_id")),
            id_of(metadata.get("node_id")),
        )
    return Unknown(f"binary_{kind}", len(frame))


def _split(frame: bytes) -> tuple[bytes, bytes]:
    """Return the part whose length follows the type, and the rest."""
    (length,) = struct.unpack_from(">I", frame, 4)
    if 8 + length > len(frame):
        raise ValueError("the frame is shorter than its header says")
    return frame[8 : 8 + length], frame[8 + length :]
