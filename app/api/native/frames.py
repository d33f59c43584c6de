"""What sockets of ComfyUI's own protocol are sent. Pure.

A text is JSON that begins with `{"type":`, which is how SwarmUI tells it from other data. A binary
frame begins with its type, a big-endian 32-bit number: 1 is a picture (`>I` format: 1 is JPEG, 2
PNG), 3 a text of a node, 4 a picture with metadata (`>I` length, JSON).
"""

import json
import struct
from typing import Any

from app.limits.json_types import Json

OLD_PICTURE, PICTURE = 1, 4
JPEG, PNG = 1, 2


def text(kind: str, data: Json) -> bytes:
    """Return a message."""
    return json.dumps({"type": kind, "data": data}).encode()


def status(remaining: int, sid: str | None = None) -> bytes:
    """Return the number of unfinished tasks; `sid`: in the first message of a socket."""
    data: Json = {"status": {"exec_info": {"queue_remaining": remaining}}}
    return text("status", data if sid is None else {**data, "sid": sid})


def executing(node: str | None, prompt_id: str) -> bytes:
    """Return that a node works, or with None that the prompt has ended."""
    at = {"node": node} if node is None else {"node": node, "display_node": node}
    return text("executing", {**at, "prompt_id": prompt_id})


def is_picture(frame: bytes) -> bool:
    """Return whether a binary frame is a picture with metadata."""
    return len(frame) >= 8 and struct.unpack_from(">I", frame)[0] == PICTURE


def without_metadata(frame: bytes) -> bytes | None:
    """Return a picture with metadata as one of type 1, for clients that know no other one.

    None if its metadata cannot be read.
    """
    (length,) = struct.unpack_from(">I", frame, 4)
    try:
        about: Any = json.loads(frame[8 : 8 + length])
        is_png = about.get("image_type") == "image/png"
    except (ValueError, AttributeError):
        return None
    return struct.pack(">II", OLD_PICTURE, PNG if is_png else JPEG) + frame[8 + length :]


def flags_in(message: Any) -> Json | None:
    """Return the feature flags that a client tells; None if the message is no such one."""
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    data = message.get("data")
    return data if isinstance(data, dict) else {}
