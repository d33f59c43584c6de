"""SQL that adds tasks to the queue, within the transaction of a submit."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, insert

from app.db import mapping, prompts, task_filters, webhooks
from app.db.queries import positions_of
from app.db.tables import tasks
from app.limits.json_types import Json
from app.tasks.model import NewTask, Task

_ADD = insert(tasks).returning(tasks.c.task_id, tasks.c.seq)


def write(connection: Connection, new: Sequence[NewTask], made: Sequence[Json]) -> list[Task]:
    """Insert the tasks with their prompts and webhooks; `made` are their rows."""
    cut = {row["task_id"] for row in made if row["cut"]}
    prompts.write(connection, new, cut)
    seqs = {row.task_id: row.seq for row in connection.execute(_ADD, made)}
    task_filters.keep(connection, [(seqs[task.task_id], task) for task in new])
    for task in new:
        webhooks.keep(connection, task.task_id, task.webhooks, task.owner)
    placed = [{**row, "seq": seqs[row["task_id"]]} for row in made]
    positions = positions_of(connection, placed)
    return [
        replace(
            mapping.added(row, positions[row["seq"]], webhooks.shown_json(task.webhooks)),
            params=task.params,
            cut={},
        )
        for row, task in zip(placed, new, strict=True)
    ]
