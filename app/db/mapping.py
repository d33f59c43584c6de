"""Conversion between rows and dataclasses."""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import CursorResult, RowMapping

from app.db.tables import tasks
from app.tasks.asset import output_id
from app.tasks.model import (
    Attempt,
    CancelReason,
    NewTask,
    Output,
    Progress,
    QueuePosition,
    Status,
    Task,
    TaskError,
    WaitingTask,
    fields_of,
)
from app.tasks.native import NativePrompt
from app.tasks.truncation import MAX_ROW_PARAMS_BYTES, brief
from app.workflows.requirements import Needs

PRIORITY_AGEING_SECONDS = 300.0  # of waiting are worth a point of priority

_PLAIN = (
    *("seq", "task_id", "priority", "created_at", "started_at", "finished_at", "server"),
    *("wanted_server", "client_id", "submitted_at", "timeout", "filename", "retry_of"),
    *("batch_id", "shape", "expected"),
)
# Fields of a task whose columns have other names.
_COLUMNS = {
    "requirements_id": "route",
    "runner_id": "owner",
    "owner": "key_name",
    "needs_paid_node_key": "needs_key",
}
_parse = json.JSONDecoder().raw_decode
_EMPTY = dict.fromkeys(tasks.c.keys())
_NOT_NATIVE = dict.fromkeys(("number", "client", "origin", "lane"))
_OUTLINE = {**_EMPTY, "params": "{}", "metadata": "{}", "attempts": "[]", "warnings": "[]"}
Row = RowMapping | Mapping[str, Any]
_OUTPUT = [name for name in Output.__dataclass_fields__ if name not in ("length", "copy")]


def _load(text: str) -> Any:
    """Return the value of a column, which begins without white space. Most are empty."""
    if text == "{}":
        return {}
    return [] if text == "[]" else _parse(text)[0]


dump = json.JSONEncoder(separators=(",", ":")).encode  # `json.dumps` would make one each time


def dump_progress(progress: Progress) -> str:
    return dump(fields_of(progress))


def dump_error(error: TaskError | None) -> str | None:
    return dump(fields_of(error)) if error else None


def dump_attempts(attempts: Iterable[Attempt]) -> str:
    return dump([fields_of(attempt) for attempt in attempts])


_DUMPED: dict[str, Callable[[Any], str | None]] = {
    "progress": dump_progress,
    "attempts": dump_attempts,
    "error": dump_error,
    "warnings": dump,
}


def columns(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Convert fields of a task to values of columns."""
    return {
        _COLUMNS.get(name, name): _DUMPED[name](value) if name in _DUMPED else value
        for name, value in fields.items()
    }


def new_row(task: NewTask, created_at: float) -> dict[str, Any]:
    """Return the row of a task; long parameters are truncated, with marks in `cut`."""
    params, cut = dump(task.params) if task.params else "{}", None
    if len(params) > MAX_ROW_PARAMS_BYTES:
        shown, cut = brief(task.params)
        params = dump(shown)
    return {
        "task_id": task.task_id,
        "rank": created_at - task.priority * PRIORITY_AGEING_SECONDS,
        "route": task.requirements.requirements_id,
        "shape": task.shape,
        "expected": task.expected,
        "batch_id": task.batch_id,
        "status": Status.QUEUED,
        "priority": task.priority,
        "created_at": created_at,
        "wanted_server": task.requirements.wanted_server,
        "timeout": task.timeout,
        "filename": task.filename,
        "retry_of": task.retry_of,
        "progress": dump_progress(Progress(nodes_total=len(task.prompt))),
        "needs_key": task.needs_paid_node_key,
        "key_name": task.owner,
        **_native_columns(task.native),
        "params": params,
        "cut": dump(cut) if cut else None,
        "metadata": "{}" if task.metadata == {} else dump(task.metadata),
        "attempts": "[]",
        "warnings": dump(task.warnings) if task.warnings else "[]",
    }


def added(
    task: NewTask, row: Row, seq: int, queue_position: QueuePosition, webhook: str | None
) -> Task:
    """Return the task whose row was just written, with its parameters as a whole."""
    return Task(
        seq=seq,
        task_id=task.task_id,
        status=Status.QUEUED,
        priority=task.priority,
        created_at=row["created_at"],
        started_at=None,
        finished_at=None,
        server=None,
        wanted_server=task.requirements.wanted_server,
        client_id=None,
        runner_id=row["owner"],
        submitted_at=None,
        cancel_reason=None,
        timeout=task.timeout,
        filename=task.filename,
        retry_of=task.retry_of,
        batch_id=task.batch_id,
        requirements_id=task.requirements.requirements_id,
        shape=task.shape,
        expected=task.expected,
        params=task.params,
        metadata=task.metadata,
        progress=Progress(nodes_total=len(task.prompt)),
        error=None,
        attempts=(),
        warnings=task.warnings,
        queue_position=queue_position,
        webhook=json.loads(webhook) if webhook else None,
        needs_paid_node_key=task.needs_paid_node_key,
        owner=task.owner,
        native=task.native,
    )


def rows_of(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """Return the rows as dicts: a look into a mapping of SQLAlchemy takes ten times as long."""
    names = tuple(result.keys())
    return [dict(zip(names, row, strict=True)) for row in result.all()]


def outline_of(row: Row) -> Task:
    """Return the task for some columns of its row; its other fields are empty."""
    return task_of({**_OUTLINE, **row})


def task_of(
    row: Row, outputs: Sequence[Output] = (), queue_position: QueuePosition | None = None
) -> Task:
    return Task(
        **{name: row[name] for name in _PLAIN},
        requirements_id=row["route"],
        runner_id=row["owner"],
        owner=row["key_name"],
        needs_paid_node_key=row["needs_key"],
        native=None if row["number"] is None else _native_of(row),
        status=Status(row["status"]),
        cancel_reason=CancelReason(row["cancel_reason"]) if row["cancel_reason"] else None,
        params=_load(row["params"]),
        metadata=_load(row["metadata"]),
        progress=Progress(**_load(row["progress"])) if row["progress"] else Progress(),
        error=_error(row["error"]),
        attempts=tuple([Attempt(**item) for item in _load(row["attempts"])]),
        warnings=tuple(_load(row["warnings"])),
        outputs=numbered(outputs),
        queue_position=queue_position,
        webhook=_load(row["webhook"]) if row.get("webhook") else None,
        cut=_load(row["cut"]) if row.get("cut") else {},
    )


def waiting_of(row: Any, needs: Needs, wanted_server: str | None, now: float) -> WaitingTask:
    return WaitingTask(
        seq=row.seq,
        requirements_id=row.route,
        needs=needs,
        wanted_server=wanted_server,
        shape=row.shape,
        priority=row.priority,
        waited=now - row.created_at,
        owner=row.key_name,
        lane=row.lane,
    )


def output_row(task_id: str, output: Output) -> dict[str, Any]:
    return {
        "task_id": task_id,
        **{name: getattr(output, name) for name in _OUTPUT},
        "asset_id": output_id(task_id, output),
        "created_at": time.time(),
    }


def output_of(row: Row) -> Output:
    return Output(**{name: row[name] for name in _OUTPUT}, length=row.get("length"))


def numbered(outputs: Sequence[Output]) -> tuple[Output, ...]:
    """Return the outputs of one task with `copy` set."""
    if len(outputs) < 2:
        return tuple(outputs)
    before: Counter[tuple[object, ...]] = Counter()
    found = []
    for output in outputs:
        this = (*output.identity, output.length)
        copy = before[this]
        before[this] += 1
        found.append(replace(output, copy=copy) if copy else output)
    return tuple(found)


def _native_columns(native: NativePrompt | None) -> dict[str, Any]:
    if native is None:
        return _NOT_NATIVE
    names = ("number", "client_id", "origin", "lane")
    return dict(zip(_NOT_NATIVE, (getattr(native, name) for name in names), strict=True))


def _native_of(row: Row) -> NativePrompt:
    return NativePrompt(row["number"], row["client"], row["origin"] or "", row["lane"])


def _error(text: str | None) -> TaskError | None:
    if not text:
        return None
    fields = _load(text)
    return TaskError(**{**fields, "traceback": tuple(fields["traceback"])})
