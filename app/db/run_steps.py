"""SQL for what a run yields before its end: its start and its results. Fenced by the owner."""

from dataclasses import dataclass

from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)

from app.db import mapping
from app.db.engine.statement import Statement
from app.db.queries import is_queued
from app.db.tables import outputs, tasks
from app.tasks.model import Output, Status

IS_MINE = and_(tasks.c.task_id == bindparam("id"), tasks.c.owner == bindparam("me"))
# Columns that other processes may change, or that the change itself computes.
BY_OTHERS = (tasks.c.status, tasks.c.cancel_reason, tasks.c.started_at)
CHANGE = update(tasks).where(IS_MINE)
START = Statement(
    CHANGE.values(
        status=case((tasks.c.status == Status.QUEUED, Status.RUNNING), else_=tasks.c.status),
        started_at=func.coalesce(tasks.c.started_at, bindparam("began")),
    ).returning(*BY_OTHERS)
)
END_AT_ONCE = Statement(CHANGE.where(is_queued()).returning(*BY_OTHERS))
# Selected from the task's row, locked, so that nothing is inserted without the claim.
_NEW_OUTPUT = [column for column in outputs.columns if column is not outputs.c.id]
_ADD_OUTPUT = Statement(
    insert(outputs).from_select(
        [column.name for column in _NEW_OUTPUT],
        select(*(bindparam(f"new_{column.name}", type_=column.type) for column in _NEW_OUTPUT))
        .select_from(tasks)
        .where(IS_MINE)
        .with_for_update(),
    )
)


class LostClaim(Exception):
    """The task is not, or no longer, owned by this process: it has another owner or has ended."""


@dataclass(frozen=True, slots=True)
class Unsaved:
    """The start of a run and its first results, which are yet to be written together."""

    began: float
    outputs: tuple[Output, ...] = ()


def add_output(connection: Connection, task_id: str, owner: str, output: Output) -> None:
    row = mapping.output_row(task_id, output)
    values = {f"new_{name}": value for name, value in row.items()}
    if _ADD_OUTPUT.count(connection, {**values, "id": task_id, "me": owner}) != 1:
        raise LostClaim(task_id)
