"""Prompts in the database. A single task has its own. Tasks of a batch, and tasks made again,
share a graph: each has only what is changed in it.

A graph goes in the transaction that deletes the last task that has it. Its id comes from its
content, so that the same one is stored once: whoever adds a task to it, or looks whether tasks
still have it, holds its row until the end of the transaction.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any

from blake3 import blake3
from sqlalchemy import Connection, Insert, delete, exists, insert, select
from sqlalchemy.dialects import postgresql, sqlite

from app.tasks import rows
from app.tasks.lists import PART, any_of
from app.tasks.model import Graph, NewTask
from app.tasks.tables import graphs, prompts
from app.workflows.applying import Change, with_changes
from app.workflows.needs import SHARED_GRAPH

Json = dict[str, Any]
Parts = tuple[Json, tuple[Change, ...]]  # a prompt that others may share, and the changes in it

# A gateway older than shared graphs finds this in their place. It takes no such task from the
# queue (see rows.needs_text); should it come to one in another way, ComfyUI refuses this by name.
NOT_FOR_OLD = rows.dump({"1": {"class_type": SHARED_GRAPH, "inputs": {}}})

_PROMPTS = select(prompts).where(any_of(prompts.c.task_id, "task_ids"))
_GRAPHS = select(graphs).where(any_of(graphs.c.graph_id, "graph_ids"))
_IS_SHARED = exists().where(prompts.c.graph_id == graphs.c.graph_id)
_LOCK = (
    select(graphs.c.graph_id)
    .where(any_of(graphs.c.graph_id, "graph_ids"))
    .order_by(graphs.c.graph_id)
    .with_for_update()
)
# Two statements: what others have added to it before we had the lock is seen by the second one.
_DROP = delete(graphs).where(any_of(graphs.c.graph_id, "graph_ids"), ~_IS_SHARED)
_UNUSED = select(graphs.c.graph_id).where(~_IS_SHARED).limit(PART).with_for_update(skip_locked=True)
_FORGET = delete(prompts).where(any_of(prompts.c.task_id, "task_ids")).returning(prompts.c.graph_id)


def graph_of(prompt: Json, key_name: str | None) -> Graph:
    """For tasks of one API key: nobody learns from the database what another one has stored."""
    text = rows.dump(prompt)
    return Graph(blake3(f"{key_name or ''}\0{text}".encode()).hexdigest(), text)


def write(connection: Connection, new: Sequence[NewTask]) -> None:
    """The prompts of tasks that are about to be added."""
    shared = {task.graph.graph_id: task.graph.text for task in new if task.graph}
    for graph_id in sorted(shared):
        row = {"graph_id": graph_id, "prompt": shared[graph_id]}
        connection.execute(_insert_or_lock(connection), row)
    connection.execute(insert(prompts), [_row(task) for task in new])


def _row(task: NewTask) -> Json:
    graph = task.graph
    return {
        "task_id": task.task_id,
        "prompt": NOT_FOR_OLD if graph else rows.dump(task.prompt),
        "graph_id": graph and graph.graph_id,
        "changes": rows.dump(task.changes) if graph else None,
        "params": rows.long_params(task),
    }


def _insert_or_lock(connection: Connection) -> Insert:
    """The row is there then, and nobody deletes it before the end of the transaction."""
    if connection.dialect.name == "sqlite":  # which has one writer
        return sqlite.insert(graphs).on_conflict_do_nothing()
    return postgresql.insert(graphs).on_conflict_do_update(
        index_elements=[graphs.c.graph_id], set_={"graph_id": graphs.c.graph_id}
    )


def read(connection: Connection, task_ids: Collection[str]) -> dict[str, Json]:
    """The prompts to run, by task."""
    return {
        task_id: with_changes(prompt, changes) if changes else prompt
        for task_id, (prompt, changes) in parts(connection, task_ids).items()
    }


def parts(connection: Connection, task_ids: Collection[str]) -> dict[str, Parts]:
    """The prompts as they are stored, by task."""
    found = connection.execute(_PROMPTS, {"task_ids": list(task_ids)}).all()
    shared: dict[str, Json] = {}
    if ids := sorted({row.graph_id for row in found if row.graph_id}):
        for graph in connection.execute(_GRAPHS, {"graph_ids": ids}):
            shared[graph.graph_id] = json.loads(graph.prompt)
    return {
        row.task_id: (
            shared[row.graph_id] if row.graph_id else json.loads(row.prompt),
            tuple((node, name, value) for node, name, value in json.loads(row.changes or "[]")),
        )
        for row in found
    }


def forget(connection: Connection, task_ids: Collection[str]) -> None:
    """The prompts of tasks that were deleted, and the graphs that no task has any more."""
    found = connection.scalars(_FORGET, {"task_ids": list(task_ids)})
    _drop(connection, {graph_id for graph_id in found if graph_id})


def forget_unused(connection: Connection) -> int:
    """Delete some of the graphs that no task has: an older gateway deletes tasks without them.
    PART if there may be more."""
    found = list(connection.scalars(_UNUSED))
    _drop(connection, found)
    return len(found)


def _drop(connection: Connection, graph_ids: Collection[str]) -> None:
    if graph_ids:
        these = {"graph_ids": sorted(graph_ids)}
        connection.execute(_LOCK, these)
        connection.execute(_DROP, these)
