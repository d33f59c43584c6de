"""The path below which clients reach the gateway, if a proxy serves it below one.

It is "" or like "/comfy": the setting COMFYUI_ROOT_PATH, or what proxies tell in
X-Forwarded-Prefix.
"""

import logging
import re
import time
from collections.abc import Sequence
from functools import lru_cache
from math import inf

from app.errors import InvalidInput
from app.limits.quoting import quoted

log = logging.getLogger(__name__)

HEADER = "X-Forwarded-Prefix"
LONGEST = 300  # characters: it is repeated in each URL
QUIET = 60.0  # seconds without a line in the log after one
_PATH = re.compile(r"(/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")


def checked_base_path(text: str) -> str:
    """Return a base path without a slash at its end. Raises InvalidInput."""
    path = text.strip().rstrip("/")
    if path and not _is_base_path(path):
        raise InvalidInput(
            f"{quoted(text)} is no path to be below.",
            hint="Write one such as /comfy: it begins with a slash, and has letters, digits and "
            f"-._~ between slashes, {LONGEST} characters at most.",
        )
    return path


def told_base_path(values: Sequence[bytes]) -> str:
    """Return the base path in the values of X-Forwarded-Prefix, "" if they tell none.

    The outermost proxy comes first. A value that is no path is ignored, with a line in the log.
    """
    if not values:
        return ""
    header = b",".join(values)
    path = _path_in(header)
    if path is None:
        _ignored.note(header)
        return ""
    return path


@lru_cache(maxsize=256)  # called for each request behind a proxy
def _path_in(header: bytes) -> str | None:
    parts = [part.strip().rstrip("/") for part in header.decode("latin-1").split(",")]
    path = "".join(parts)
    if len(path) <= LONGEST and all(not part or _is_base_path(part) for part in parts):
        return path
    return None


class Ignored:
    """Logs values that are ignored, one in QUIET seconds: any client can send thousands."""

    def __init__(self) -> None:
        self._quiet_until = -inf

    def note(self, header: bytes) -> None:
        if (now := time.monotonic()) >= self._quiet_until:
            self._quiet_until = now + QUIET
            value = quoted(header.decode("latin-1"))
            log.warning("%s is ignored: %s is no path such as /comfy", HEADER, value)


_ignored = Ignored()


def _is_base_path(path: str) -> bool:
    return len(path) <= LONGEST and _PATH.fullmatch(path) is not None
