"""Limits on how much of a request is repeated in errors and in the log. Pure.

Sentences quote values with `quoted`; everything else in an error is truncated by `bounded` before
it is sent. Lengths are bytes of JSON in UTF-8.
"""

import json
import reprlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from math import isfinite
from typing import Any

from app.limits.json_types import Json
from app.limits.redaction import without_secrets

SHORT = 80  # characters of a value in a sentence
DETAIL, HINT = 900, 400  # bytes of these fields of an error
TEXTS = 2000  # bytes of all texts in an error, without its own member names
MAX_ERROR_BYTES = 6000  # bytes of an error
LONGEST = 200  # bytes of any other text
MAX_ENTRIES = 20  # entries of a list or an object
_CUTS = ((LONGEST, MAX_ENTRIES), (60, 3))  # successive attempts: bytes of texts, entries
WARNINGS = 20  # in the answer to a conversion

# Members with the gateway's own values, and names of members at any depth.
_OURS = ("type", "title", "status", "code", "request_id", "retry_after")
_WORDS = frozenset(
    {
        *("errors", "field", "message", "type", "details", "extra_info", "input_name", "reason"),
        *("input_config", "received_value", "dependent_outputs", "class_type", "parameter"),
        *("node_errors", "missing", "node_types", "files", "nearest_server", "input", "name"),
        *("exception_message", "exception_type", "traceback", "linked_node", "version", "hint"),
    }
)


def cut(text: str, most: int) -> str:
    """Return the text, truncated to `most` bytes with its original length."""
    if len(text) * 6 <= most and text.isascii():  # a character takes at most six bytes in JSON
        return text
    head = text[:most].encode("utf-8", "replace").decode()  # replaces lone surrogates
    if len(text) <= most and cost(head) <= most:
        return head
    while cost(head) > most:
        head = head[: len(head) * most // (cost(head) + 1)]
    return f"{head}... ({len(text)} characters)"


def quoted(value: object, most: int = SHORT) -> str:
    """Return the value's repr, truncated if it is long."""
    if isinstance(value, str):
        return (
            repr(value) if len(value) <= most else f"{value[:most]!r}... ({len(value)} characters)"
        )
    return cut(_BRIEF.repr(value), most)


def listed(texts: Sequence[str], most: int = WARNINGS) -> list[str]:
    """Return at most `most` truncated texts, and the number of further ones."""
    found = [cut(text, LONGEST) for text in texts[:most]]
    return found if len(texts) <= most else [*found, f"... and {len(texts) - most} more"]


def quoted_list(values: Iterable[object], most: int = 10) -> str:
    """Return values for a sentence: "'a', 'b' and 3 more"."""
    every = list(values)
    said = ", ".join(quoted(value) for value in every[:most])
    return said if len(every) <= most else f"{said} and {len(every) - most} more"


def bounded(problem: Mapping[str, Any]) -> Json:
    """Return the problem document, truncated to MAX_ERROR_BYTES and TEXTS.

    `omitted` has the number of dropped entries by member.
    """
    found = {name: problem[name] for name in _OURS if name in problem}
    room = _Room()
    for name, most in (("detail", DETAIL), ("hint", HINT)):
        if problem.get(name) is not None:
            found[name] = cut(without_secrets(str(problem[name])), most)
            room.take(found[name])
    omitted = Counter(problem.get("omitted", {}))
    for name, value in problem.items():
        if name not in found and name != "omitted":
            found[name], left_out = _member(value, room)
            omitted[name] += left_out
    omitted = +omitted
    return {**found, "omitted": dict(omitted)} if omitted else found


class _Full(Exception):
    """The value does not fit."""


class _Room:
    """The bytes left in an error."""

    def __init__(self, texts: int = TEXTS, size: int = MAX_ERROR_BYTES) -> None:
        self.texts = texts
        self.size = size

    def take(self, value: Any) -> Any:
        """Take the bytes of a text, number or name. Raises _Full."""
        size = cost(value)
        self.size -= size + 2  # including separators
        if isinstance(value, str) and value not in _WORDS:
            self.texts -= size
        if self.size < 0 or self.texts < 0:
            raise _Full
        return value


def _member(value: Any, room: _Room) -> tuple[Any, int]:
    """Return as much of a member as fits, and the number of dropped entries.

    Entries are kept with all their members, or dropped.
    """
    if not isinstance(value, Mapping | list | tuple):
        found = _fitted(value, room)
        return found and found[0], 0
    is_object = isinstance(value, Mapping)
    entries = list(value.items() if isinstance(value, Mapping) else enumerate(value))
    kept, left_out = [], 0
    for name, item in entries[:MAX_ENTRIES]:
        entry = {str(name): item} if is_object else [item]
        found = _fitted(entry, room)
        if found is None:
            break
        kept.append(found[0])
        left_out += found[1]
    left_out += len(entries) - len(kept)
    if is_object:
        return {name: item for entry in kept for name, item in entry.items()}, left_out
    return [item for entry in kept for item in entry], left_out


def _fitted(value: Any, room: _Room) -> tuple[Any, int] | None:
    """Return the value, truncated as little as possible, and the number of dropped entries.

    Takes its bytes from `room`; returns None if it does not fit.
    """
    for longest, most in _CUTS:
        trial = _Room(room.texts, room.size)
        cutting = _Cutting(trial, longest, most)
        with suppress(_Full):
            found = cutting.of(value)
            room.texts, room.size = trial.texts, trial.size
            return found, cutting.left_out
    return None


class _Cutting:
    """Truncates a value: texts to `longest` bytes, lists and objects to `most` entries."""

    def __init__(self, room: _Room, longest: int, most: int) -> None:
        self._room = room
        self._longest = longest
        self._most = most
        self.left_out = 0

    def of(self, value: Any) -> Any:
        """Return the truncated value. Raises _Full."""
        if isinstance(value, Mapping):
            self._room.take(None)
            return {self._text(str(name)): self.of(value[name]) for name in self._some(value)}
        if isinstance(value, list | tuple):
            self._room.take(None)
            return [self.of(item) for item in self._some(value)]
        if value is None or isinstance(value, bool):
            return self._room.take(value)
        if isinstance(value, float) and isfinite(value):  # other floats are not valid JSON
            return self._room.take(value)
        if isinstance(value, int) and value.bit_length() <= 64:
            return self._room.take(value)
        return self._text(str(value))

    def _some(self, values: Collection[Any]) -> list[Any]:
        self.left_out += max(len(values) - self._most, 0)
        return list(islice(values, self._most))

    def _text(self, text: str) -> str:
        taken: str = self._room.take(cut(text, self._longest))
        return taken


class _Brief(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxstring = self.maxother = self.maxlong = SHORT
        self.maxdict = self.maxlist = self.maxtuple = 4
        self.maxlevel = 3


_BRIEF = _Brief()


def cost(value: Any) -> int:
    """Return the bytes of the value as JSON."""
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
