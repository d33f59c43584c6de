"""Reading tasks: rows with their outputs and their place in the queue."""

from collections import defaultdict
from typing import Any

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import TaskNotFound
from app.tasks import rows
from app.tasks.model import Output, Task
from app.tasks.tables import outputs, tasks


def is_queued(table: FromClause = tasks) -> ColumnElement[bool]:
    """As a literal: SQLite uses a partial index only if it sees its condition in the query."""
    return table.c.status == literal_column("'queued'")


def is_active(table: FromClause = tasks) -> ColumnElement[bool]:
    words: list[ColumnElement[str]] = [
        literal_column(f"'{status}'") for status in ("queued", "running", "canceling")
    ]
    return table.c.status.in_(words)


async def fetch_one(connection: AsyncConnection, task_id: str) -> Task:
    """Raises TaskNotFound."""
    found = await fetch(connection, select_tasks().where(tasks.c.task_id == task_id))
    if not found:
        raise no_task(task_id)
    return found[0]


async def fetch(connection: AsyncConnection, query: Select[Any]) -> list[Task]:
    """The tasks that a `select_tasks()` query answers."""
    found = (await connection.execute(query)).mappings().all()
    results: dict[str, list[Output]] = defaultdict(list)
    if found:
        ids = [row["task_id"] for row in found]
        of_these = select(outputs).where(outputs.c.task_id.in_(ids)).order_by(outputs.c.id)
        for row in (await connection.execute(of_these)).mappings():
            results[row["task_id"]].append(rows.output_of(row))
    return [rows.task_of(row, results[row["task_id"]]) for row in found]


def select_tasks() -> Select[Any]:
    """All columns, and the place in the queue for those that wait."""
    return select(
        tasks,
        case((is_queued(), _position()), else_=None).label("queue_position"),
    )


def _position() -> ColumnElement[int]:
    other = tasks.alias("other")
    ahead = or_(
        other.c.priority > tasks.c.priority,
        and_(other.c.priority == tasks.c.priority, other.c.seq <= tasks.c.seq),
    )
    return select(func.count()).select_from(other).where(is_queued(other), ahead).scalar_subquery()


def no_task(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"There is no task {task_id[:80]!r}.", hint="GET /api/tasks lists the tasks."
    )
