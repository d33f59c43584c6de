"""Truncation of tasks for lists and streams. Pure.

A truncated view has a member `cut`: the original length in characters, or in entries of a list or
object, by the path of what was cut, such as "params.6.text". GET /api/task/{task_id} returns all.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from json.encoder import encode_basestring
from typing import Any, TypeVar

from app.limits.json_types import Json
from app.limits.quoting import cost

T = TypeVar("T")

MAX_STREAM_BYTES = 54_000  # bytes of a view in a stream, whose messages have at most 64 kB
LIST = 18_000  # bytes of a view in a list
MAX_ROW_PARAMS_BYTES = 4_000  # bytes of parameters that are stored in a task's row

TEXT = 500  # characters of a text
LONGER = {"error": 2000, "warnings": 1000}
MAX_TEXT_CHARACTERS = 1000  # characters of a text result
WORD = 100  # characters of a name
NAMED = 3  # levels of a path
SHARES = {
    "params": 0.2,
    "metadata": 0.15,
    "error": 0.15,
    "progress": 0.12,
    "warnings": 0.08,
    "attempts": 0.06,
}
SHARE = 0.04  # share of any other field
LAST = "outputs"  # gets the remaining bytes
ATTEMPTS = 10  # the newest attempts that are shown


def shortened(view: T, room: int | None, **shares: float) -> T:
    """Truncate the fields of a view, a dict, to `room` bytes; None for no limit.

    `shares` overrides SHARES. Fields keep their types; `cut` is added.
    """
    if room is None:
        return view
    found: T = _shortened(view, room, shares)
    return found


def _shortened(view: Any, room: int, shares: Mapping[str, float]) -> Any:
    found, marks, left = dict(view), dict(view.get("cut", {})), room
    for name, value in view.items():
        if not value or name == LAST or name == "cut" or type(value) not in _LONG:
            continue
        share = round(room * (shares.get(name) or SHARES.get(name, SHARE)))
        if (size := _short(value)) is not None and size <= share:
            left -= size
        else:
            part = _Piece(name, share)
            found[name] = part.cut(value)
            left -= part.taken
            marks = {**part.marks, **marks}
    if view.get(LAST):
        found[LAST] = _whole_ones(view[LAST], left)
        if len(found[LAST]) < len(view[LAST]):
            marks.setdefault(LAST, len(view[LAST]))  # unless it was cut before
    return {**found, "cut": marks} if marks else found


_LONG = (str, dict, list, tuple)
MAX_ENTRIES = 60  # entries of a container that is measured at once


def _short(value: Any) -> int | None:
    """Return an upper bound of the size in bytes, or None if it is not cheap to tell."""
    if isinstance(value, str):
        return len(value) * 6 if len(value) <= WORD else None
    size = len(json.dumps(value)) if _is_plain(value, 2) else TEXT + 1
    return size if size <= TEXT else None


def _is_plain(value: Any, levels: int) -> bool:
    """Return whether the value has few entries and levels and no long text: cheap to serialize."""
    if isinstance(value, str):
        return len(value) <= TEXT
    if not isinstance(value, _LONG):
        return True
    if not levels or len(value) > MAX_ENTRIES:
        return False
    for item in value.values() if isinstance(value, dict) else value:
        if isinstance(item, _LONG) and not _is_plain(item, levels - 1):
            return False
    return True


def _whole_ones(entries: Sequence[Json], room: int) -> Sequence[Json]:
    """Return as many first entries as fit: their URLs must not be truncated."""
    if len(entries) <= MAX_ENTRIES and len(json.dumps(entries)) <= room:
        return entries
    kept = []
    for entry in entries:
        room -= cost(entry)
        if room < 0:
            break
        kept.append(entry)
    return kept


def brief(params: Json) -> tuple[Json, dict[str, int]]:
    """Return parameters truncated for a task's row, with their original lengths."""
    part = _Piece("params", MAX_ROW_PARAMS_BYTES)
    return part.cut(params), part.marks


def beginning(text: str, most: int) -> str:
    """Truncate a text; one that was truncated before is not truncated again."""
    return text if len(text) <= most + 1 else f"{text[:most]}…"


class _Piece:
    """Truncates one field to `room` bytes of JSON."""

    def __init__(self, name: str, room: int) -> None:
        self.marks: dict[str, int] = {}
        self._name = name
        self._longest = LONGER.get(name, TEXT)
        self._room = self._left = room

    @property
    def taken(self) -> int:
        return self._room - self._left

    def cut(self, value: Any) -> Any:
        if self._name == "attempts" and len(value) > ATTEMPTS:
            self.marks[self._name] = len(value)
            value = value[-ATTEMPTS:]
        return self._of(value, (self._name,))

    def _of(self, value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, Mapping):
            return {
                self._word(name, path): self._of(item, (*path, name))
                for name, item in self._while_room(value.items(), len(value), path)
            }
        if isinstance(value, list | tuple):
            return [
                self._of(item, (*path, str(place)))
                for place, item in self._while_room(enumerate(value), len(value), path)
            ]
        self._left -= len(str(value)) + 2
        return value

    def _while_room(
        self, entries: Iterable[tuple[T, Any]], number: int, path: tuple[str, ...]
    ) -> Iterator[tuple[T, Any]]:
        """Yield entries while there is room."""
        self._left -= 2
        for entry in entries:
            if self._left <= 0:
                self._mark(path[:NAMED], number)
                return
            yield entry

    def _text(self, text: str, path: tuple[str, ...]) -> str:
        found, left = beginning(text, self._longest), max(self._left, 0)
        if _cost(found) > left:
            found = beginning(found, left // 6)  # a character takes at most six bytes
        self._left -= _cost(found)
        if found != text:
            self._mark(path, len(text))
        return found

    def _word(self, name: str, path: tuple[str, ...]) -> str:
        word = beginning(name, WORD)
        if word != name:
            self._mark((*path, name), len(name))
        self._left -= _cost(word)
        return word

    def _mark(self, path: tuple[str, ...], length: int) -> None:
        word = beginning(".".join(beginning(name, WORD) for name in path), WORD)
        if word not in self.marks:
            self._left -= _cost(word) + 10
        self.marks[word] = length


def _cost(text: str) -> int:
    """Return the bytes of a text in JSON, including separators."""
    return len(encode_basestring(text).encode("utf-8", "replace")) + 2
