"""SQL for tasks that came through ComfyUI's own protocol."""

import json
from collections.abc import Collection, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from app.db import mapping, webhooks
from app.db.engine.list_parameters import any_of
from app.db.engine.statement import Statement
from app.db.tables import native_prompts
from app.limits.json_types import Json
from app.tasks.model import NewTask
from app.tasks.native import NativeRequest, NativeResult
from app.tasks.webhook import Webhook

_WRITE = Statement(insert(native_prompts))
_THESE = any_of(native_prompts.c.task_id, "task_ids")
_ABOUT = Statement(select(native_prompts.c.task_id, native_prompts.c.about).where(_THESE))
_KEEP_RESULT = Statement(
    update(native_prompts)
    .where(native_prompts.c.task_id == bindparam("id"))
    .values(result=bindparam("said"))
)
_FORGET = delete(native_prompts).where(_THESE)

# The webhook of a submit, and what else was posted through ComfyUI's own protocol
Beside = tuple[Webhook | None, NativeRequest | None]


def write(connection: Connection, new: Sequence[NewTask]) -> None:
    """Insert what else is known of those tasks that have any, which are added next."""
    if rows := [_row(task) for task in new if task.native or task.native_request]:
        _WRITE.each(connection, rows)


def _row(task: NewTask) -> Json:
    asked = task.native_request or NativeRequest()
    about = {
        "outputs": list(asked.outputs_to_execute),
        "targets": asked.targets,
        "left_out": asked.left_out,
        "node_errors": asked.node_errors,
    }
    row: Json = {"task_id": task.task_id, "about": mapping.dump(about)}
    unset = dict.fromkeys(("result", "stop_from", "stop_at"))
    return {**row, "hidden": False, "told": False, **unset}


def requests(connection: Connection, task_ids: Collection[str]) -> dict[str, NativeRequest]:
    """Return what else was posted with these tasks, by id."""
    return {
        row.task_id: request_of(row.about)
        for row in _ABOUT.rows(connection, {"task_ids": list(task_ids)})
    }


def beside(connection: Connection, task_id: str) -> Beside:
    """Return what the submit of a task had beside the prompt."""
    return webhooks.own(connection, task_id), requests(connection, [task_id]).get(task_id)


def request_of(text: str) -> NativeRequest:
    about = json.loads(text)
    return NativeRequest(
        about["outputs"], about["targets"], about["left_out"], about["node_errors"]
    )


def keep_result(connection: Connection, task_id: str, result: str) -> None:
    """Store the JSON of a NativeResult, in the transaction that writes the end."""
    _KEEP_RESULT.count(connection, {"id": task_id, "said": result})


def result_of(text: str | None) -> NativeResult | None:
    """Return the stored result; None without one: no server's history was read."""
    return None if text is None else NativeResult(**json.loads(text))


def forget(connection: Connection, task_ids: Collection[str]) -> None:
    """Delete the rows of deleted tasks."""
    if task_ids:
        connection.execute(_FORGET, {"task_ids": list(task_ids)})
