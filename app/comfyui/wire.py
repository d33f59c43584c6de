"""JSON as ComfyUI writes it: bare NaN and Infinity occur, in prompts, queues and node results."""

import json
import math
from typing import Any


def finite(text: str) -> float | None:
    """A float as JSON writes it, or None if it is out of range (1e999)."""
    value = float(text)
    return value if math.isfinite(value) else None


def loads(data: str | bytes) -> Any:
    """Parse JSON leniently: NaN, Infinity and floats out of range become None.

    So nothing that we pass on can make a strict parser fail. Raises ValueError (also for
    bytes that are not UTF-8) and RecursionError.
    """
    return json.loads(data, parse_constant=lambda _: None, parse_float=finite)
