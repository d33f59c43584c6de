"""Reading tasks: rows with their outputs and queue positions."""

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
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
from app.db.engine.statement import Statement
from app.db.tables import outputs, prompts, tasks
from app.db.webhooks import shown_of
from app.errors import TaskNotFound
from app.tasks.model import ACTIVE, Output, QueuePosition, Status, Task
from app.tasks.truncation import MAX_TEXT_CHARACTERS


def is_queued(table: FromClause = tasks) -> ColumnElement[bool]:
    """A literal, as SQLite uses a partial index only if its condition appears in the query."""
    return table.c.status == literal_column("'queued'")


def is_active(table: FromClause = tasks) -> ColumnElement[bool]:
    return in_states(ACTIVE, table)


def in_states(states: Iterable[Status], table: FromClause = tasks) -> ColumnElement[bool]:
    """Literals: parameters of IN would be expanded in each execution."""
    words: list[ColumnElement[str]] = [literal_column(f"'{status}'") for status in sorted(states)]
    return table.c.status.in_(words)


# The API key in queries that find tasks by the queue or by ids. With the plain column SQLite would
# use the index of all tasks of a key, and scan all of them.
KEY_NAME = func.coalesce(tasks.c.key_name, "")
FOUND_KEY_NAME = tasks.c.key_name.concat("")  # NULL stays NULL, so that it differs from the key ""

# Built once, since building a statement takes longer than executing it.
TASKS = select(tasks, shown_of(tasks.c.task_id).label("webhook"))
_TASK = Statement(TASKS.where(tasks.c.task_id == bindparam("task_id")))
_PARAMS = Statement(select(prompts.c.params).where(prompts.c.task_id == bindparam("task_id")))
_OUTPUTS_OF = Statement(
    select(outputs).where(outputs.c.task_id == bindparam("task_id")).order_by(outputs.c.id)
)
_OUTPUTS = select(outputs).where(any_of(outputs.c.task_id, "task_ids")).order_by(outputs.c.id)
_BRIEF_OUTPUTS = _OUTPUTS.with_only_columns(
    *(column for column in outputs.c if column is not outputs.c.text),
    func.substr(outputs.c.text, 1, MAX_TEXT_CHARACTERS).label("text"),
    func.length(outputs.c.text).label("length"),
)
_QUEUED = str(Status.QUEUED)
# Execution option of an engine with the stuck requirements; each process determines its own.
STUCK = "stuck_routes"
_IS_AHEAD = or_(
    tasks.c.rank < bindparam("rank"),
    and_(tasks.c.rank == bindparam("rank"), tasks.c.seq < bindparam("seq")),
)
# A task on a server is included in that server's wait, and a task that no server accepts at present
# delays nobody.
_IS_ON_NONE = tasks.c.server.is_(None)
_IS_HERE = and_(_IS_ON_NONE, none_of(tasks.c.route, "stuck"))
# By whether any are stuck: to look for each task's requirements among none takes as long again.
_HERE = {True: _IS_HERE, False: _IS_ON_NONE}


def _ahead(is_here: ColumnElement[bool]) -> Any:
    return select(
        func.count(),
        func.sum(case((is_here, tasks.c.expected))),
        func.count(case((and_(is_here, tasks.c.expected.is_(None)), 1))),
    ).where(is_queued())


_BEHIND = (
    select(func.count()).where(is_queued(), tasks.c.rank > bindparam("rank")).scalar_subquery()
)
_AHEAD = {some: Statement(_ahead(here).where(_IS_AHEAD)) for some, here in _HERE.items()}
_AT_THE_END = {
    some: Statement(_ahead(here).where(tasks.c.rank <= bindparam("rank")).add_columns(_BEHIND))
    for some, here in _HERE.items()
}
_FROM_THERE_ON = (
    select(tasks.c.seq, tasks.c.expected, _IS_HERE.label("is_here"))
    .where(is_queued(), not_(_IS_AHEAD), tasks.c.rank <= bindparam("last_rank"))
    .order_by(tasks.c.rank, tasks.c.seq)
)


def fetch_one(connection: Connection, task_id: str) -> Task:
    """Return a task. Raises TaskNotFound."""
    this = {"task_id": task_id}
    found = [row._asdict() for row in _TASK.rows(connection, this)]
    if not found:
        raise no_task(task_id)
    results = [mapping.output_of(row._asdict()) for row in _OUTPUTS_OF.rows(connection, this)]
    return mapping.task_of(found[0], results, positions_of(connection, found).get(found[0]["seq"]))


def whole(connection: Connection, task: Task) -> Task:
    """Return the task with the parameters that its row has no room for."""
    if not task.cut:
        return task
    found = _PARAMS.rows(connection, {"task_id": task.task_id})
    text = found[0].params if found else None
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
    found = mapping.rows_of(connection.execute(query, values))
    results: dict[str, list[Output]] = defaultdict(list)
    if found:
        ids = {"task_ids": [row["task_id"] for row in found]}
        statement = _BRIEF_OUTPUTS if brief else _OUTPUTS
        for row in mapping.rows_of(connection.execute(statement, ids)):
            results[row["task_id"]].append(mapping.output_of(row))
    positions = positions_of(connection, found)
    return [
        mapping.task_of(row, results[row["task_id"]], positions.get(row["seq"])) for row in found
    ]


def positions_of(connection: Connection, found: Sequence[mapping.Row]) -> dict[int, QueuePosition]:
    """Return the queue positions of tasks by seq.

    Counted for the first of these rows, and advanced from there to the last.
    """
    queued = sorted([(row["rank"], row["seq"]) for row in found if row["status"] == _QUEUED])
    if not queued:
        return {}
    first = {"rank": queued[0][0], "seq": queued[0][1]}
    stuck = {"stuck": stuck_in(connection)}
    query = _AHEAD[bool(stuck["stuck"])]
    ((ahead, seconds, unknown),) = query.rows(connection, {**first, **stuck})
    queue_position = QueuePosition(ahead + 1, float(seconds or 0), unknown)
    positions = {first["seq"]: queue_position}
    if len(queued) > 1:
        values = {**first, **stuck, "last_rank": queued[-1][0]}
        for seq, expected, is_here in connection.execute(_FROM_THERE_ON, values):
            positions[seq] = queue_position
            queue_position = queue_position.next(expected, is_here=is_here)
    return positions


def position_of_next(connection: Connection, rank: float) -> tuple[QueuePosition, int]:
    """Return the position of a task that is added with this rank, and how many tasks wait now."""
    stuck = stuck_in(connection)
    found = _AT_THE_END[bool(stuck)].rows(connection, {"rank": rank, "stuck": stuck})
    ((ahead, seconds, unknown, behind),) = found
    return QueuePosition(ahead + 1, float(seconds or 0), unknown), ahead + behind


def stuck_in(connection: Connection) -> Sequence[str]:
    """Return the requirements that no server accepts at present."""
    stuck: Sequence[str] = connection.engine.get_execution_options().get(STUCK, ())
    return stuck


@cache
def newest_result(*given: str, of_owner: bool) -> Statement:
    """Return a query for the newest stored result with the given columns.

    Of one task's results that differ in a column that is not given, the one that its `url` means:
    that leaves out what is usual. `of_owner`: only of tasks that the API key `owner` created.
    """
    equal = [outputs.c[name] == bindparam(name) for name in given]
    stored = select(outputs).where(outputs.c.key.is_not(None), *equal)
    if of_owner:
        stored = stored.join(tasks, tasks.c.task_id == outputs.c.task_id)
        stored = stored.where(tasks.c.key_name == bindparam("owner"))
    usual = {"subfolder": "", "type": "output"} if "task_id" in given else {}
    first = [case((outputs.c[name] == usual[name], 0), else_=1) for name in usual.keys() - given]
    return Statement(stored.order_by(*first, outputs.c.id.desc()).limit(1))


def no_task(task_id: str) -> TaskNotFound:
    return TaskNotFound(
        f"There is no task {task_id[:80]!r}.", hint="GET /api/tasks lists the tasks."
    )
