"""SQL to find the lanes that have due rows, in time independent of their number, and to claim one.

It is a loose index scan: the first lane, then the first one after it, and so on, with a few index
lookups per lane, where DISTINCT would read every row.
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
from app.db.webhook_tables import deliveries, webhooks
from app.db.webhooks import is_pending


def _lanes(table: Table, condition: str, column: str) -> Select[Any]:
    """Return a query for (lane, minimum of `column` as `at`) of rows that meet the condition."""

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
    # The first row from there on belongs to the lane. With min() PostgreSQL would read all rows.
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
# Claims the longest due delivery of a lane to a host that is not busy.
TAKE_DUE = (
    update(deliveries)
    .where(deliveries.c.seq.in_(_DUE))
    .values(owner=bindparam("me"), next_at=bindparam("until"))
    .returning(deliveries.c.delivery_id)
)
