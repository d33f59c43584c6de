"""What was measured, as a page of Markdown. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

PARTIES = ("direct", "gateway", "proxy")


@dataclass(frozen=True, slots=True)
class Row:
    """One goal and what came of it. `met` is None where nothing could be measured."""

    what: str
    goal: str
    result: str
    met: bool | None
    figures: dict[str, str] = field(default_factory=dict)  # by party
    spread: str = ""
    note: str = ""


def page(rows: Sequence[Row], machine: Sequence[str], command: str) -> str:
    """RESULTS.md."""
    measured = [row for row in rows if row.met is not None]
    missed = [row for row in measured if not row.met]
    lines = [
        "# Results",
        "",
        f"Written by `{command}`; [README.md](README.md) says what each row does.",
        "",
        *(f"- {line}" for line in machine),
        "",
        f"{len(measured) - len(missed)} of {len(measured)} goals are met; others are **MISSED**.",
        "",
        *_table(rows),
    ]
    notes = [f"- **{row.what}**: {row.note}" for row in rows if row.note]
    if notes:
        lines += ["", "## Notes", "", *notes]
    return "\n".join(lines) + "\n"


def _table(rows: Iterable[Row]) -> list[str]:
    head = ("what", "goal", "result", "", *PARTIES, "spread over the rounds")
    lines = [_line(head), _line("---" for _ in head)]
    for row in rows:
        figures = [row.figures.get(party, "") for party in PARTIES]
        lines.append(_line((row.what, row.goal, row.result, _verdict(row), *figures, row.spread)))
    return lines


def _verdict(row: Row) -> str:
    if row.met is None:
        return "not measured"
    return "met" if row.met else "**MISSED**"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
