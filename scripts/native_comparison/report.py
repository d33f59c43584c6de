"""A comparison as text. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.native_comparison.differences import Difference, differences, short, sorted_out
from scripts.native_comparison.wanted import WANTED

Plays = Sequence[Mapping[str, Any]]  # the answers of the server, then those of the gateway


def unwanted(plays: Plays) -> list[Difference]:
    return sorted_out(differences(*plays), WANTED)[0]


def version_of(plays: Plays) -> str:
    found: str = plays[0]["GET /system_stats"]["body"]["system"]["comfyui_version"]
    return found


def section(plays: Plays) -> str:
    """What was compared, and every difference; those that are meant by what they are meant for."""
    bad, meant = sorted_out(differences(*plays), WANTED)
    lines = [
        f"## ComfyUI {version_of(plays)}",
        "",
        f"{len(plays[0])} calls; {sum(map(len, meant.values()))} differences that are meant, "
        f"{len(bad)} others.",
        *_list(bad),
    ]
    for why in dict.fromkeys(reason.why for reason in meant):
        those = [one for reason, found in meant.items() if reason.why == why for one in found]
        lines += ["", f"**{why}**", *_list(those)]
    return "\n".join(lines) + "\n"


def _list(those: Iterable[Difference]) -> list[str]:
    """One line for what differs at the same place in several calls, with the first one's values."""
    by_place: dict[str, list[Difference]] = {}
    for one in those:
        by_place.setdefault(one.at, []).append(one)
    lines = [
        f"- `{at}`: {_code(found[0].direct)} → {_code(found[0].gateway)} ({_calls(found)})"
        for at, found in by_place.items()
    ]
    return ["", *lines] if lines else []


def _calls(found: Sequence[Difference]) -> str:
    more = f", and {len(found) - 3} more" if len(found) > 3 else ""
    return "; ".join(one.call for one in found[:3]) + more


def _code(value: Any) -> str:
    return f"`{short(value, 90)}`".replace("|", "\\|")
