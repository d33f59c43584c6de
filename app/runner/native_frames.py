"""Messages of a server as its prompt's client gets them (ComfyUI's own protocol). Pure.

Most go on as they came. Texts begin with `{"type":`, which some clients look for.
"""

import json
import struct
from collections.abc import Mapping
from typing import Any

from app.comfyui import wire
from app.comfyui.events import Preview
from app.files.staged_names import may_name_staged, readable
from app.limits.json_types import Json
from app.tasks.native_names import named_for_clients, with_own_names

_BEGINNING = '{"type":'
_TEXT, _PREVIEW_WITH_METADATA = 3, 4
_HEAD = struct.Struct(">II")  # the type, and the length of what follows it


def text_message(type: str, data: Json, more: Json | None = None) -> bytes:
    return json.dumps({"type": type, "data": data, **(more or {})}).encode()


def plain(frame: str) -> bytes:
    """Return a text message as it came."""
    return frame.encode() if frame.startswith(_BEGINNING) else _again(wire.loads(frame))


def with_names(frame: str, names: Mapping[str, str]) -> bytes:
    """Return a text message with uploads under the caller's names. Raises ValueError."""
    if not may_name_staged(frame):
        return plain(frame)
    return _again(with_own_names(wire.loads(frame), names))


def executed(frame: str, task_id: str, names: Mapping[str, str]) -> bytes:
    """Return an `executed` message with files as clients are told them. Raises ValueError."""
    message = wire.loads(frame)
    data = message.get("data") or {}
    told = named_for_clients(task_id, data.get("output"), names)
    if told == data.get("output"):
        return plain(frame)
    return _again({**message, "data": {**data, "output": told}})


def executed_again(
    task_id: str, node_id: str, output: Json, names: Mapping[str, str], prompt: Json
) -> bytes:
    """Return the `executed` message for what the server's history says of a node."""
    display = node_id if node_id in prompt else node_id.partition(".")[0]  # 2.0.0.1 is of 2
    told = named_for_clients(task_id, output, names)
    data = {"node": node_id, "display_node": display, "output": told, "prompt_id": task_id}
    return text_message("executed", data)


def started(task_id: str, at: float) -> bytes:
    """Return the `execution_start` message. `at`: Unix timestamp."""
    return text_message("execution_start", {"prompt_id": task_id, "timestamp": round(at * 1000)})


def preview(frame: bytes, event: Preview, task_id: str, node_id: str | None) -> bytes:
    """Return an image with its metadata (type 4), as ComfyUI sends it since 0.3.64.

    `node_id`: of an image that came without (type 1).
    """
    if int.from_bytes(frame[:4], "big") == _PREVIEW_WITH_METADATA:
        return frame
    about = {
        "node_id": node_id,
        "prompt_id": task_id,
        "display_node_id": node_id,
        "parent_node_id": None,
        "real_node_id": node_id,
        "image_type": event.content_type,
    }
    header = json.dumps(about).encode()
    return _HEAD.pack(_PREVIEW_WITH_METADATA, len(header)) + header + event.image


def node_text(frame: bytes, names: Mapping[str, str]) -> bytes:
    """Return a line of text from a node (type 3) with uploads under the caller's names."""
    _, length = _HEAD.unpack_from(frame)
    text = frame[8 + length :].decode(errors="replace")
    if not may_name_staged(text):
        return frame
    return frame[: 8 + length] + readable(text, names).encode()


def _again(message: Any) -> bytes:
    more = {name: value for name, value in message.items() if name not in ("type", "data")}
    try:
        return text_message(message["type"], message.get("data"), more)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
