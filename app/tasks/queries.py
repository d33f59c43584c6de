"""Reading tasks: rows with their outputs and their place in the queue."""

from collections import defaultdict
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    Select,
    and_,
    bindparam,
    case,
    func,
    literal_column,
    or_,
    select,
)

from app.errors import TaskNotFound
from app.tasks import rows
from app.tasks.model import ACTIVE, Output, Task
from app.tasks.tables import outputs, tasks
from app.tasks.webhooks import shown_of


def is_queued(table: FromClause = tasks) -> ColumnElement[bool]:
    """As a literal: SQLite uses a partial index only if it sees its condition in the query."""
    return table.c.status == literal_column("'queued'")


def is_active(table: FromClause = tasks) -> ColumnElement[bool]:
    words: list[ColumnElement[str]] = [literal_column(f"'{status}'") for status in sorted(ACTIVE)]
    return table.c.status.in_(words)


_other = tasks.alias("other")
_position = (
    select(func.count())
    .select_from(_other)
    .where(
        is_queued(_other),
        or_(
            _other.c.priority > tasks.c.priority,
            and_(_other.c.priority == tasks.c.priority, _other.c.seq <= tasks.c.seq),
        ),
    )
    .scalar_subquery()
)

# Built once: putting a statement together costs more than running it.
# All columns, the place in the queue for those that wait, and the webhook.
TASKS = select(
    tasks,
    case((is_queued(), _position), else_=None).label("queue_position"),
    shown_of(tasks.c.task_id).label("webhook"),
)
_TASK = TASKS.where(tasks.c.task_id == bindparam("task_id"))
_OUTPUTS = (
    select(outputs)
    .where(outputs.c.task_id.in_(bindparam("task_ids", expanding=True)))
    .order_by(outputs.c.id)
)


def fetch_one(connection: Connection, task_id: str) -> Task:
    """Raises TaskNotFound."""
    found = fetch(connection, _TASK, {"task_id": task_id})
    if not found:
        raise no_task(task_id)
    return found[0]


def fetch(
    connection: Connection, query: Select[Any], values: dict[str, Any] | None = None
) -> list[Task]:
    """The tasks that a query made from `TASKS` answers."""
    found = connection.execute(query, values).mappings().all()
    results: dict[str, list[Output]] = defaultdict(list)
    if found:
        ids = {"task_ids": [row["task_id"] for row in found]}
        for row in connection.execute(_OUTPUTS, ids).mappings():
            results[row["task_id"]].append(rows.output_of(row))
    return [rows.task_of(row, results[row["task_id"]]) for row in found]


def no_task(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"There is no task {task_id[:80]!r}.", hint="GET /api/tasks lists the tasks."
    )
