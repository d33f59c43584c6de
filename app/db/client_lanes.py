"""Which waiting tasks may go to servers, of clients whose tasks run one after the other.

Such tasks share a lane, see app/tasks/native.py. A task of a lane is not given out before an
earlier one of it that waits, unless no server accepts that one at present.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, func, select, text

from app.db.engine.list_parameters import any_of, none_of
from app.db.engine.statement import Statement
from app.db.queries import is_active, is_queued, stuck_in
from app.db.quotas import exhausted, within
from app.db.tables import tasks

MOST_CROWDED = 100  # lanes that a claim looks behind, one after the other

LANE = func.coalesce(tasks.c.lane, "")  # see none_of
_ON_SERVERS = Statement(
    select(tasks.c.lane, func.count().label("held"))
    .where(is_active(), tasks.c.server.is_not(None), tasks.c.lane.is_not(None))
    .group_by(text("1"))
)
_FIRST_OF = Statement(
    select(tasks.c.lane, func.min(tasks.c.rank).label("rank"))
    .where(is_queued(), tasks.c.server.is_(None))
    .where(tasks.c.rank <= bindparam("last"), any_of(tasks.c.lane, "lanes"))
    .where(none_of(tasks.c.route, "stuck"))
    .group_by(text("1"))
)

Rows = Sequence[Any]  # of waiting tasks, with lane, rank and seq, in queue order


class Offered(NamedTuple):
    """Waiting tasks that may be given out, in queue order."""

    rows: Rows
    more: bool  # whether there may be more behind them
    is_cut: bool = False  # whether others before the last one were left out


def offered(
    connection: Connection, read: Callable[[Collection[str]], Rows], most: int, in_lane: int
) -> Offered:
    """Return the first waiting tasks that may be given out; requires the claim lock.

    `read` returns the first `most` waiting tasks, without those of some lanes; `in_lane` tasks of a
    lane may be on servers. Where others of its lane fill what was read, those behind are read, too.
    """
    found = read(())
    if all(row.lane is None for row in found):
        return Offered(found, len(found) == most)
    room = {row.lane: in_lane - row.held for row in _ON_SERVERS.rows(connection)}
    passed_over, kept, is_cut = set[str](), list[Any](), False
    while True:
        allowed, cut = _allowed(connection, found, room, in_lane)
        is_cut |= bool(cut)
        if not cut or len(found) < most or len(passed_over) > MOST_CROWDED:
            break
        kept += [row for row in allowed if row.lane in cut]
        passed_over |= cut | set(exhausted(room))
        found = read(list(passed_over))
    rows = sorted([*kept, *allowed], key=attrgetter("rank", "seq")) if kept else allowed
    return Offered(rows, len(found) == most, is_cut)


def _allowed(
    connection: Connection, found: Rows, room: Mapping[str, int], in_lane: int
) -> tuple[Rows, set[str]]:
    """Return those that may be given out, and the lanes of the others."""
    first = {row.lane: row.rank for row in reversed(found) if row.lane is not None}
    if not first:
        return found, set()
    about = {"lanes": list(first), "last": found[-1].rank, "stuck": stuck_in(connection)}
    waits = {row.lane: row.rank for row in _FIRST_OF.rows(connection, about)}
    behind = {lane: 0 for lane, rank in first.items() if waits.get(lane, rank) < rank}
    allowed = within({**room, **behind}, found, lambda row: row.lane, default=in_lane)
    seqs = {row.seq for row in allowed}
    return allowed, {row.lane for row in found if row.seq not in seqs}
