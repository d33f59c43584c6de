"""SQL that tells which lanes have something to do, however much each of them has, and claims it.

A loose scan of an index: the first lane, then the first one behind it, and so on; a few steps of
the index for each lane, where DISTINCT would read every row.
"""

from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    select,
    update,
)

from app.db.engine.list_parameters import none_of
from app.db.tables import deliveries, webhooks
from app.db.webhooks import is_pending


def _lanes(table: Table, condition: str, column: str) -> Select[Any]:
    """(lane, the least value `at` of the column) of the rows that meet the condition."""

    def rows(name: str) -> tuple[FromClause, ColumnElement[bool]]:
        return table.alias(name), literal_column(f"{name}.{condition}")

    first, known = rows("first_rows")
    least = select(func.min(first.c.lane)).where(known).scalar_subquery()
    found = select(least.label("lane")).cte("lanes", recursive=True)
    more, known = rows("more_rows")
    behind = select(func.min(more.c.lane)).where(known, more.c.lane > found.c.lane)
    step = select(behind.scalar_subquery()).where(found.c.lane.is_not(None))
    found = found.union_all(step)
    its, known = rows("its_rows")
    # The first row from there on is the lane's own. By min() PostgreSQL would read all of it.
    at = select(its.c[column]).where(known, its.c.lane >= found.c.lane)
    at = at.order_by(its.c.lane, its.c[column]).limit(literal_column("1"))
    known_lanes = found.c.lane.is_not(None)
    return select(found.c.lane, at.scalar_subquery().label("at")).where(known_lanes)


DUE_LANES = _lanes(deliveries, "status = 'pending'", "next_at")
OPEN_LANES = _lanes(webhooks, "state = 'open'", "id")

_DUE = (
    select(deliveries.c.seq)
    .where(is_pending(), deliveries.c.lane == bindparam("of_lane"))
    .where(deliveries.c.next_at <= bindparam("now"))
    .where(none_of(deliveries.c.place, "hosts"), none_of(deliveries.c.host, "addresses"))
    .order_by(deliveries.c.next_at)
    .limit(1)
    .with_for_update(skip_locked=True)
)
# The delivery of a lane that is due longest, to a host that is not busy.
TAKE_DUE = (
    update(deliveries)
    .where(deliveries.c.seq.in_(_DUE))
    .values(owner=bindparam("me"), next_at=bindparam("until"))
    .returning(deliveries.c.delivery_id)
)
