"""Sanitizing of what servers send, so that it can be stored and passed on. Pure.

`wire.loads` handles characters; this module handles lengths and types of values.
"""

import math
import re
from typing import Any

from app.limits import text_lengths

REPLACEMENT = "\ufffd"
_UNFIT = re.compile("[\x00\ud800-\udfff]")
CUT_MARK = "… ["  # start of the mark that states the original length
LARGEST = 1e15  # limit for numbers that count something


def sound_text(text: str) -> str:
    """Replace NUL characters and lone surrogates, which databases cannot store."""
    return _UNFIT.sub(REPLACEMENT, text)


def is_sound(text: str) -> bool:
    """Return whether the text has no NUL characters and no lone surrogates."""
    # Fast path: most texts are ASCII, and searching them for NUL is cheap.
    return "\0" not in text and (text.isascii() or not _UNFIT.search(text))


def cut(value: Any, most: int) -> str:
    """Return the value as text of at most `most` characters, with a mark if it was truncated."""
    text = sound_text(value if isinstance(value, str) else str(value))
    if len(text) <= most:
        return text
    mark = f"{CUT_MARK}{len(text)} characters]"
    return text[: max(most - len(mark), 0)] + mark[:most]


def name_of(value: Any) -> str:
    """Return an id or name, truncated to the maximum length of one."""
    return cut(value, text_lengths.NODE_ID)


def id_of(value: Any) -> str | None:
    return None if value is None else name_of(value)


def last_lines(traceback: Any) -> tuple[str, ...]:
    """Return the last lines of a traceback, which name the fault."""
    kept = traceback[-text_lengths.TRACEBACK_LINES :] if isinstance(traceback, list) else ()
    return tuple(cut(line, text_lengths.TRACEBACK_LINE) for line in kept)


def number(value: Any) -> float:
    """Return a finite number within range, 0 for a missing one. Raises ValueError."""
    try:
        found = float(value or 0)
    except OverflowError:  # an int beyond the range of floats
        found = math.inf
    if not math.isfinite(found) or abs(found) > LARGEST:
        raise ValueError("a number is out of range")
    return found


def fitting(value: Any, room: int) -> Any:
    """Truncate the texts of a JSON value and drop what exceeds `room` characters."""
    return _Fitting(room).take(value)


class _Fitting:
    def __init__(self, room: int) -> None:
        self._left = room

    def take(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        self._left -= 8
        if isinstance(value, dict):
            return {
                self._text(str(name)): self.take(item)
                for name, item in value.items()
                if self._left > 0
            }
        if isinstance(value, list):
            return [self.take(item) for item in value if self._left > 0]
        if isinstance(value, int | float) and not _is_sane(value):
            return None
        return value

    def _text(self, text: str) -> str:
        short = cut(text, max(self._left, 40))
        self._left -= len(short) + 2
        return short


def _is_sane(value: float) -> bool:
    return abs(value) < 1 << 64 if isinstance(value, int) else math.isfinite(value)
