"""What servers say, made fit to be stored and sent on. Pure.

`wire.loads` has seen to characters; here lengths and kinds of values are seen to.
"""

import math
import re
from typing import Any

from app.limits import text_lengths

REPLACEMENT = "\ufffd"
_UNFIT = re.compile("[\x00\ud800-\udfff]")
CUT_MARK = "… ["  # how the mark begins that says how much there was
LARGEST = 1e15  # of a number that counts something


def sound_text(text: str) -> str:
    """Without NUL characters and halves of characters, which no database holds."""
    return _UNFIT.sub(REPLACEMENT, text)


def is_sound(text: str) -> bool:
    """Has it none of these?"""
    # Most texts are ASCII, and what looks for NUL in these takes no time.
    return "\0" not in text and (text.isascii() or not _UNFIT.search(text))


def cut(value: Any, most: int) -> str:
    """A text of so many characters at most; a mark at its end says how much was left out."""
    text = sound_text(value if isinstance(value, str) else str(value))
    if len(text) <= most:
        return text
    mark = f"{CUT_MARK}{len(text)} characters]"
    return text[: max(most - len(mark), 0)] + mark[:most]


def name_of(value: Any) -> str:
    """An id or a name, as long as one may be."""
    return cut(value, text_lengths.NODE_ID)


def id_of(value: Any) -> str | None:
    return None if value is None else name_of(value)


def last_lines(traceback: Any) -> tuple[str, ...]:
    """The last lines of a traceback, where the fault is."""
    kept = traceback[-text_lengths.TRACEBACK_LINES :] if isinstance(traceback, list) else ()
    return tuple(cut(line, text_lengths.TRACEBACK_LINE) for line in kept)


def number(value: Any) -> float:
    """A finite number of a sane size; none is 0. Raises ValueError."""
    try:
        found = float(value or 0)
    except OverflowError:  # an integer beyond all floats
        found = math.inf
    if not math.isfinite(found) or abs(found) > LARGEST:
        raise ValueError("a number is out of range")
    return found


def fitting(value: Any, room: int) -> Any:
    """JSON whose texts are cut, and of which what goes beyond `room` characters is left out."""
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
