"""Reading tasks: rows with their outputs and queue positions."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
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
    not_,
    or_,
    select,
)

from app.db import mapping
from app.db.engine.list_parameters import any_of, none_of
from app.db.tables import outputs, prompts, tasks
from app.db.webhooks import shown_of
from app.errors import TaskNotFound
from app.tasks.model import ACTIVE, Output, QueuePosition, Status, Task
from app.tasks.truncation import MAX_TEXT_CHARACTERS


def is_queued(table: FromClause = tasks) -> ColumnElement[bool]:
    """A literal, as SQLite uses a partial index only if its condition appears in the query."""
    return table.c.status == literal_column("'queued'")


def is_active(table: FromClause = tasks) -> ColumnElement[bool]:
    words: list[ColumnElement[str]] = [literal_column(f"'{status}'") for status in sorted(ACTIVE)]
    return table.c.status.in_(words)


# The API key in queries that find tasks by the queue or by ids. With the plain column SQLite would
# use the index of all tasks of a key, and scan all of them.
KEY_NAME = func.coalesce(tasks.c.key_name, "")
FOUND_KEY_NAME = tasks.c.key_name.concat("")  # NULL stays NULL, so that it differs from the key ""

# Built once, since building a statement takes longer than executing it.
TASKS = select(tasks, shown_of(tasks.c.task_id).label("webhook"))
_TASK = TASKS.where(tasks.c.task_id == bindparam("task_id"))
_OUTPUTS_OF = (
    select(outputs).where(outputs.c.task_id == bindparam("task_id")).order_by(outputs.c.id)
)
_OUTPUTS = select(outputs).where(any_of(outputs.c.task_id, "task_ids")).order_by(outputs.c.id)
_BRIEF_OUTPUTS = _OUTPUTS.with_only_columns(
    *(column for column in outputs.c if column is not outputs.c.text),
    func.substr(outputs.c.text, 1, MAX_TEXT_CHARACTERS).label("text"),
    func.length(outputs.c.text).label("length"),
)
# Execution option of an engine with the stuck requirements; each process determines its own.
STUCK = "stuck_routes"
_IS_AHEAD = or_(
    tasks.c.rank < bindparam("rank"),
    and_(tasks.c.rank == bindparam("rank"), tasks.c.seq < bindparam("seq")),
)
# A task on a server is included in that server's wait, and a task that no server accepts at present
# delays nobody.
_IS_HERE = and_(tasks.c.server.is_(None), none_of(tasks.c.route, "stuck"))
_AHEAD = select(
    func.count(),
    func.sum(case((_IS_HERE, tasks.c.expected))),
    func.count(case((and_(_IS_HERE, tasks.c.expected.is_(None)), 1))),
).where(is_queued(), _IS_AHEAD)
_FROM_THERE_ON = (
    select(tasks.c.seq, tasks.c.expected, _IS_HERE.label("is_here"))
    .where(is_queued(), not_(_IS_AHEAD), tasks.c.rank <= bindparam("last_rank"))
    .order_by(tasks.c.rank, tasks.c.seq)
)


def fetch_one(connection: Connection, task_id: str) -> Task:
    """Return a task. Raises TaskNotFound."""
    this = {"task_id": task_id}
    row = connection.execute(_TASK, this).mappings().first()
    if row is None:
        raise no_task(task_id)
    results = map(mapping.output_of, connection.execute(_OUTPUTS_OF, this).mappings())
    return mapping.task_of(row, results, positions_of(connection, [row]).get(row["seq"]))


def whole(connection: Connection, task: Task) -> Task:
    """Return the task with the parameters that its row has no room for."""
    if not task.cut:
        return task
    query = select(prompts.c.params).where(prompts.c.task_id == task.task_id)
    text = connection.scalar(query)
    return replace(task, params=json.loads(text), cut={}) if text else task


def fetch(
    connection: Connection,
    query: Select[Any],
    values: dict[str, Any] | None = None,
    *,
    brief: bool = False,
) -> list[Task]:
    """Return the tasks of a query derived from `TASKS`.

    `brief`: read only the beginning of text results, as shown in lists.
    """
    found = connection.execute(query, values).mappings().all()
    results: dict[str, list[Output]] = defaultdict(list)
    if found:
        ids = {"task_ids": [row["task_id"] for row in found]}
        for row in connection.execute(_BRIEF_OUTPUTS if brief else _OUTPUTS, ids).mappings():
            results[row["task_id"]].append(mapping.output_of(row))
    positions = positions_of(connection, found)
    return [
        mapping.task_of(row, results[row["task_id"]], positions.get(row["seq"])) for row in found
    ]


def positions_of(connection: Connection, found: Sequence[mapping.Row]) -> dict[int, QueuePosition]:
    """Return the queue positions of tasks by seq.

    Counted for the first of these rows, and advanced from there to the last.
    """
    queued = sorted((row["rank"], row["seq"]) for row in found if row["status"] == Status.QUEUED)
    if not queued:
        return {}
    first = {"rank": queued[0][0], "seq": queued[0][1]}
    stuck = {"stuck": connection.engine.get_execution_options().get(STUCK, ())}
    ahead, seconds, unknown = connection.execute(_AHEAD, {**first, **stuck}).one()
    queue_position = QueuePosition(ahead + 1, float(seconds or 0), unknown)
    positions = {first["seq"]: queue_position}
    if len(queued) > 1:
        values = {**first, **stuck, "last_rank": queued[-1][0]}
        for seq, expected, is_here in connection.execute(_FROM_THERE_ON, values):
            positions[seq] = queue_position
            queue_position = queue_position.next(expected, is_here=is_here)
    return positions


@cache
def newest_result(*given: str) -> Select[Any]:
    """Return a query for the newest stored result with the given columns."""
    equal = [outputs.c[name] == bindparam(name) for name in given]
    stored = select(outputs).where(outputs.c.key.is_not(None), *equal)
    return stored.order_by(outputs.c.id.desc()).limit(1)


def no_task(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"There is no task {task_id[:80]!r}.", hint="GET /api/tasks lists the tasks."
    )
