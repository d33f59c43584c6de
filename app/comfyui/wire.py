"""Parsing of ComfyUI's JSON, with bare NaN and Infinity in prompts, queues and results."""

import json
import math
import re
from typing import Any

from app.comfyui.cleaning import sound_text

# NUL and lone surrogates in JSON: as escapes, or (surrogates) as bytes that are not UTF-8.
_SUSPECT = re.compile(r"\\u(?:0000|[dD][89a-fA-F])|[\ud800-\udfff]")


def finite(text: str) -> float | None:
    """Return a float of a JSON text, or None if it is out of range (1e999)."""
    value = float(text)
    return value if math.isfinite(value) else None


# Kept, as json.loads with options makes one for each call
_DECODER = json.JSONDecoder(parse_constant=lambda _: None, parse_float=finite)


def loads(data: str | bytes) -> Any:
    """Parse JSON leniently, so that the result is safe for strict parsers and databases.

    NaN, Infinity and floats out of range become None; NUL characters and lone surrogates become
    U+FFFD. Raises ValueError, also for bytes that are not UTF-8 and for JSON that is nested too
    deep.
    """
    if not isinstance(data, str):
        data = data.decode(json.detect_encoding(data), "surrogatepass")
    try:
        value = _DECODER.decode(data)
        may_be_suspect = "\\u" in data or not data.isascii()  # most events are neither
        return _sound(value) if may_be_suspect and _SUSPECT.search(data) else value
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def _sound(value: Any) -> Any:
    if isinstance(value, str):
        return sound_text(value)
    if isinstance(value, list):
        return [_sound(item) for item in value]
    if isinstance(value, dict):
        return {sound_text(name): _sound(item) for name, item in value.items()}
    return value
