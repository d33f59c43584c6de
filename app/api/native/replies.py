"""Answers in ComfyUI's form: JSON as Python's encoder writes it, and statuses without a body."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

MEDIA_TYPE = "application/json; charset=utf-8"


def json_reply(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return JSON. Numbers without end are written as ComfyUI writes them: NaN, Infinity."""
    content = json.dumps(value).encode("utf-8", "surrogatepass")
    return Response(content, status, headers, media_type=MEDIA_TYPE)


def nothing(status: int = 200) -> Response:
    """Return a status without a body, as ComfyUI answers what it refuses or has done."""
    return Response(status_code=status)
