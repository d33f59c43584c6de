"""The binary WebSocket frames: previews (types 1 and 4) and text (type 3)."""

from __future__ import annotations

import json
import struct
from typing import Any

PREVIEW, TEXT, PREVIEW_WITH_METADATA = 1, 3, 4
_FORMATS = {"JPEG": 1, "PNG": 2}


def preview_frame(image_format: str, image: bytes) -> bytes:
    """Type 1: no ids at all; the client goes by the last `executing`."""
    return struct.pack(">II", PREVIEW, _FORMATS[image_format]) + image


def metadata_frame(image_format: str, image: bytes, metadata: dict[str, Any]) -> bytes:
    """Type 4, for sockets that negotiated `supports_preview_metadata`."""
    full = {**metadata, "image_type": f"image/{image_format.lower()}"}
    header = json.dumps(full).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(header)) + header + image


def text_frame(node_id: str, text: str) -> bytes:
    """Type 3: a node's line of text, without prompt id."""
    node = node_id.encode()
    return struct.pack(">II", TEXT, len(node)) + node + text.encode()
