"""Where two plays differ, key by key. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

MISSING = "(not there)"


class Difference(NamedTuple):
    """`at`: where in the answer to the call, as in `body.error.type`."""

    call: str
    at: str
    direct: Any
    gateway: Any


class Wanted(NamedTuple):
    """Differences that are meant: patterns of call and place (whole), and why."""

    call: str
    at: str
    why: str

    def covers(self, one: Difference) -> bool:
        return bool(re.fullmatch(self.call, one.call) and re.fullmatch(self.at, one.at))


def differences(direct: Mapping[str, Any], gateway: Mapping[str, Any]) -> list[Difference]:
    found = []
    for call in {**direct, **gateway}:
        one, other = direct.get(call, MISSING), gateway.get(call, MISSING)
        if is_other_status(one, other):  # all else follows from it
            found.append(Difference(call, "status", one["status"], other["status"]))
        else:
            found += [Difference(call, *each) for each in _differ("", one, other)]
    return found


def is_other_status(one: Any, other: Any) -> bool:
    statuses = [each.get("status") for each in (one, other) if isinstance(each, dict)]
    return all(isinstance(status, int) for status in statuses) and len({*statuses}) > 1


def sorted_out(
    found: Sequence[Difference], wanted: Sequence[Wanted]
) -> tuple[list[Difference], dict[Wanted, list[Difference]]]:
    """Those that nobody wants, and the others by what wants them."""
    unwanted, meant = [], {}
    for one in found:
        reason = next((each for each in wanted if each.covers(one)), None)
        if reason is None:
            unwanted.append(one)
        else:
            meant.setdefault(reason, []).append(one)
    return unwanted, meant


def short(value: Any, length: int = 160) -> str:
    text = value if value is MISSING else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= length else f"{text[:length]}…"


def _differ(at: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            place = f"{at}.{key}" if at else str(key)
            yield from _differ(place, one.get(key, MISSING), other.get(key, MISSING))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (here, there) in enumerate(zip(one, other, strict=True)):
            yield from _differ(f"{at}[{number}]", here, there)
    elif type(one) is not type(other) or one != other:
        yield at, one, other
