"""SQL that adds tasks to the queue, within the transaction of a submit."""

from collections.abc import Sequence

from sqlalchemy import Connection, insert

from app.db import mapping, native, prompts, task_filters, webhooks
from app.db.engine.statement import Statement
from app.db.queries import stuck_in
from app.db.tables import tasks
from app.limits.json_types import Json
from app.tasks.model import NewTask, QueuePosition, Task

_ADD = Statement(insert(tasks).returning(tasks.c.task_id, tasks.c.seq))


def write(
    connection: Connection, new: Sequence[NewTask], made: Sequence[Json], position: QueuePosition
) -> list[Task]:
    """Insert the tasks with their prompts and webhooks.

    `made` are their rows, all with the same rank; `position` is the first one's.
    """
    cut = {row["task_id"] for row in made if row["cut"]}
    prompts.write(connection, new, cut)
    native.write(connection, new)
    seqs = {row.task_id: row.seq for row in _ADD.each(connection, made)}
    task_filters.keep(connection, [(seqs[task.task_id], task) for task in new])
    for task in new:
        webhooks.keep(connection, task.task_id, task.webhooks, task.owner)
    stuck, added = stuck_in(connection), list[Task]()
    for row, task in zip(made, new, strict=True):
        shown = webhooks.shown_json(task.webhooks)
        added.append(mapping.added(task, row, seqs[task.task_id], position, shown))
        position = position.next(task.expected, is_here=row["route"] not in stuck)
    return added
