"""Storage of prompts.

A single task has its own prompt. Tasks of a batch and retries share a graph and store only their
changes. Extra data is shared by all tasks that were submitted with the same.
"""

import json
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from blake3 import blake3
from sqlalchemy import Connection, delete, insert, select

from app.db import mapping
from app.db.engine.list_parameters import any_of
from app.db.engine.statement import Statement
from app.db.shared_texts import SharedTexts
from app.db.tables import extras, graphs, prompts
from app.limits.json_types import Json
from app.tasks.model import Extra, NewTask, SharedGraph
from app.workflows.parameters.apply import Change, with_changes
from app.workflows.requirements import SHARED_GRAPH


class PromptParts(NamedTuple):
    """A prompt that may be shared, the changes to apply to it, and its extra data."""

    prompt: Json
    changes: tuple[Change, ...]
    extra: Json | None


# Stored in place of the prompt for gateways older than shared graphs. They take no such task from
# the queue (see requirements_of); if they get one otherwise, ComfyUI refuses this prompt.
NOT_FOR_OLD = mapping.dump({"1": {"class_type": SHARED_GRAPH, "inputs": {}}})

GRAPHS = SharedTexts(graphs.c.graph_id, graphs.c.prompt, prompts.c.graph_id)
EXTRAS = SharedTexts(extras.c.extra_id, extras.c.extra, prompts.c.extra_id)

_WRITE = Statement(insert(prompts))
# For queries of tasks that are joined with their prompts
COLUMNS = (prompts.c.prompt, prompts.c.graph_id, prompts.c.extra_id, prompts.c.changes)
_PROMPTS = Statement(
    select(prompts.c.task_id, *COLUMNS).where(any_of(prompts.c.task_id, "task_ids"))
)
_FORGET = (
    delete(prompts)
    .where(any_of(prompts.c.task_id, "task_ids"))
    .returning(prompts.c.graph_id, prompts.c.extra_id)
)


def graph_of(prompt: Json, owner: str | None) -> SharedGraph:
    """Return a graph for sharing between tasks of one API key.

    The id includes the owner, so that nobody can find out what others have stored.
    """
    text = mapping.dump(prompt)
    return SharedGraph(_fingerprint(text, owner), text)


def extra_of(extra: Json, owner: str | None) -> Extra:
    """Return extra data for sharing, like `graph_of`."""
    text = mapping.dump(extra)
    return Extra(_fingerprint(text, owner), text)


def _fingerprint(text: str, owner: str | None) -> str:
    return blake3(f"{owner or ''}\0{text}".encode()).hexdigest()


def write(connection: Connection, new: Sequence[NewTask], cut: Collection[str]) -> None:
    """Insert the prompts of tasks that are added next; `cut`: ids of those whose rows have only
    the beginning of their parameters."""
    GRAPHS.keep(connection, {task.graph.graph_id: task.graph.text for task in new if task.graph})
    EXTRAS.keep(connection, {task.extra.extra_id: task.extra.text for task in new if task.extra})
    _WRITE.each(connection, [_row(task, is_cut=task.task_id in cut) for task in new])


def _row(task: NewTask, *, is_cut: bool) -> Json:
    graph = task.graph
    return {
        "task_id": task.task_id,
        "prompt": NOT_FOR_OLD if graph else mapping.dump(task.prompt),
        "graph_id": graph and graph.graph_id,
        "extra_id": task.extra and task.extra.extra_id,
        "changes": mapping.dump(task.changes) if graph else None,
        "params": mapping.dump(task.params) if is_cut else None,
    }


def parts(connection: Connection, task_ids: Collection[str]) -> dict[str, PromptParts]:
    """Return the stored parts of the prompts by task id."""
    return parts_in(connection, _PROMPTS.rows(connection, {"task_ids": list(task_ids)}))


def parts_in(connection: Connection, rows: Sequence[Any]) -> dict[str, PromptParts]:
    """Return the stored parts by task id, from rows with `COLUMNS`, which are NULL without a
    prompt."""
    found = [row for row in rows if row.prompt is not None]
    shared = GRAPHS.read(connection, {row.graph_id for row in found if row.graph_id})
    along = EXTRAS.read(connection, {row.extra_id for row in found if row.extra_id})
    return {
        row.task_id: PromptParts(
            shared[row.graph_id] if row.graph_id else json.loads(row.prompt),
            tuple((node, name, value) for node, name, value in json.loads(row.changes or "[]")),
            along[row.extra_id] if row.extra_id else None,
        )
        for row in found
    }


def whole(found: PromptParts) -> Json:
    """Return the prompt to run, with the changes applied."""
    return with_changes(found.prompt, found.changes) if found.changes else found.prompt


def forget(connection: Connection, task_ids: Collection[str]) -> None:
    """Delete the prompts of deleted tasks, and shared texts that no task refers to any more."""
    found = connection.execute(_FORGET, {"task_ids": list(task_ids)}).all()
    GRAPHS.drop(connection, {row.graph_id for row in found if row.graph_id})
    EXTRAS.drop(connection, {row.extra_id for row in found if row.extra_id})
