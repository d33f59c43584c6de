"""SQL on many tasks, in statements of at most MAX_LIST_ROWS ids each."""

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    String,
    and_,
    bindparam,
    case,
    or_,
    select,
    update,
)
from sqlalchemy import delete as delete_from

from app.db import idempotency, native, prompts
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of, parts_of
from app.db.engine.list_parameters import task_ids as plausible
from app.db.engine.notify import Topic, tell_all
from app.db.queries import TASKS, fetch
from app.db.tables import outputs, task_texts, tasks
from app.tasks.model import TERMINAL, CancelReason, Status, Task

_THESE = any_of(tasks.c.task_id, "task_ids")
_FETCH = TASKS.where(_THESE).order_by(tasks.c.seq)
_ENDS = select(tasks.c.task_id, tasks.c.finished_at, tasks.c.key_name).where(_THESE)
_IS_OVER = and_(tasks.c.finished_at.is_not(None), tasks.c.status.in_(sorted(TERMINAL)))
_UNTOUCHED = and_(
    tasks.c.status == Status.QUEUED,
    or_(tasks.c.owner.is_(None), tasks.c.server.is_(None)),
    tasks.c.submitted_at.is_(None),
)
_CANCEL = (
    update(tasks)
    .where(_THESE, tasks.c.status.in_(["queued", "running"]))
    .values(
        status=case((_UNTOUCHED, Status.CANCELED), else_=Status.CANCELING),
        finished_at=case((_UNTOUCHED, bindparam("now", type_=Float)), else_=None),
        cancel_reason=bindparam("reason", type_=String),
        owner=case((_UNTOUCHED, None), else_=tasks.c.owner),
    )
    .returning(tasks.c.task_id)
)
_FINISHED = (
    select(tasks.c.task_id, tasks.c.seq)
    .where(_IS_OVER, tasks.c.seq > bindparam("after"), tasks.c.seq <= bindparam("until"))
    .order_by(tasks.c.seq)
    .limit(MAX_LIST_ROWS)
)
# Not _IS_OVER: SQLite would use the index of finished tasks and scan all of it.
_DELETE = (
    delete_from(tasks)
    .where(_THESE, tasks.c.status.in_(sorted(TERMINAL)))
    .returning(tasks.c.task_id, tasks.c.seq, tasks.c.batch_id)
)
_FORGET = delete_from(task_texts).where(any_of(task_texts.c.seq, "seqs"))
_FORGET_OUTPUTS = delete_from(outputs).where(any_of(outputs.c.task_id, "task_ids"))


def several(
    connection: Connection, mine: ColumnElement[bool], task_ids: Iterable[str]
) -> list[Task]:
    """Return the tasks with these ids that exist and match `mine`, as lists show them."""
    query, parts = _FETCH.where(mine), parts_of(plausible(task_ids))
    return [
        task for part in parts for task in fetch(connection, query, {"task_ids": part}, brief=True)
    ]


def ends(connection: Connection, owner: str | None, ids: Iterable[str]) -> dict[str, bool]:
    """Return whether each task is finished, for the ids that exist and are of this API key.

    `owner`: None for those of all keys.
    """
    found: dict[str, bool] = {}
    for part in parts_of(plausible(ids)):
        for row in connection.execute(_ENDS, {"task_ids": part}):
            if owner is None or row.key_name == owner:
                found[row.task_id] = row.finished_at is not None
    return found


def cancel(
    connection: Connection,
    mine: ColumnElement[bool],
    task_ids: Sequence[str],
    reason: CancelReason,
) -> None:
    """Cancel tasks: CANCELED at once if queued and on no server, else CANCELING; finished ones
    stay."""
    values = {"task_ids": task_ids, "now": time.time(), "reason": reason}
    if changed := list(connection.scalars(_CANCEL.where(mine), values)):
        tell_all(connection, Topic.CANCEL, changed)


def finished(
    connection: Connection, mine: ColumnElement[bool], after: int, until: int
) -> tuple[list[str], int]:
    """Return ids of finished tasks with `after` < seq <= `until`, and the seq to continue after."""
    values: dict[str, Any] = {"after": after, "until": until}
    found = connection.execute(_FINISHED.where(mine), values).all()
    return [row.task_id for row in found], found[-1].seq if found else until


def delete(connection: Connection, mine: ColumnElement[bool], task_ids: Sequence[str]) -> list[str]:
    """Delete the finished ones of these tasks with all their rows; return their ids."""
    found = connection.execute(_DELETE.where(mine), {"task_ids": task_ids}).all()
    removed = [row.task_id for row in found]
    connection.execute(_FORGET, {"seqs": [row.seq for row in found]})
    prompts.forget(connection, removed)
    native.forget(connection, removed)
    connection.execute(_FORGET_OUTPUTS, {"task_ids": removed})
    idempotency.let_go(connection, {row.task_id: row.batch_id for row in found})
    return removed
