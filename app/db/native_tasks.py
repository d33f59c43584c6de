"""Reads the tasks that one caller has through ComfyUI's own protocol: its queue and its history.

Clients poll these, so all queries use the index `tasks_native`.
"""

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    FromClause,
    and_,
    bindparam,
    func,
    select,
    update,
)

from app.db import native, prompts
from app.db.engine.database import Database
from app.db.engine.list_parameters import any_of, parts_of
from app.db.engine.list_parameters import task_ids as plausible
from app.db.engine.statement import Statement
from app.db.prompts import PromptParts
from app.db.queries import TASKS, fetch
from app.db.tables import native_prompts, tasks
from app.limits.json_types import Json
from app.tasks.model import CancelReason, Status, Task
from app.tasks.native import NativeRequest, NativeResult

MOST_QUEUED = 1000  # rows of /queue
MOST_ENDED = 10_000  # entries in a history of ComfyUI
LOOKED_AT = 1000  # newest ended tasks among which those are that are not hidden
NEWEST = 200  # entries of a history if a client asks for no number

_LAST = 1e12  # after any time
_IS_NATIVE = tasks.c.number.is_not(None)  # as in the index
_HAS_ENDED, _IS_OPEN = tasks.c.finished_at.is_not(None), tasks.c.finished_at.is_(None)


def _is_mine(has_key: bool, table: FromClause = tasks) -> ColumnElement[bool]:
    return table.c.key_name == bindparam("owner") if has_key else table.c.key_name.is_(None)


HAS_KEY = {has: _is_mine(has) for has in (True, False)}
_THESE = any_of(tasks.c.task_id, "task_ids")


class Ended(NamedTuple):
    """An ended task in the history. Whatever is told of it stays the same while these do.

    `state`: in the words of /api/jobs.
    """

    task_id: str
    finished_at: float
    has_result: bool
    created_at: float
    started_at: float | None
    state: str


class Unfinished(NamedTuple):
    """A task in the queue. `is_running`: its server has begun with it."""

    task_id: str
    number: float
    client_id: str | None
    origin: str
    created_at: float
    is_running: bool
    is_canceling: bool
    started_at: float | None


class NativeTask(NamedTuple):
    """A task with all that is told of it."""

    task: Task
    parts: PromptParts
    asked: NativeRequest
    result: NativeResult | None


_LISTED = (~native_prompts.c.hidden, tasks.c.status != Status.EXPIRED)
_ENDED_COLUMNS = (
    *(tasks.c.task_id, tasks.c.finished_at, native_prompts.c.result.is_not(None).label("has")),
    *(tasks.c.created_at, tasks.c.started_at, tasks.c.status, tasks.c.cancel_reason),
)


def _ended(has_key: bool, looked_at: int, most: int) -> Statement:
    """Return a query for the newest ended tasks that are not hidden, newest first."""
    mine = HAS_KEY[has_key]
    other = tasks.alias()  # the oldest one that is looked at; the index alone tells it
    oldest = (
        select(other.c.finished_at)
        .where(
            other.c.number.is_not(None), _is_mine(has_key, other), other.c.finished_at.is_not(None)
        )
        .order_by(other.c.finished_at.desc(), other.c.seq.desc())
        .limit(1)
        .offset(looked_at - 1)
        .scalar_subquery()
    )
    return Statement(
        select(*_ENDED_COLUMNS)
        .join(native_prompts, native_prompts.c.task_id == tasks.c.task_id)
        .where(_IS_NATIVE, mine, tasks.c.finished_at >= func.coalesce(oldest, 0.0), *_LISTED)
        .order_by(tasks.c.finished_at.desc(), tasks.c.seq.desc())
        .limit(most)
    )


def _one(mine: ColumnElement[bool]) -> Statement:
    return Statement(
        select(*_ENDED_COLUMNS)
        .join(native_prompts, native_prompts.c.task_id == tasks.c.task_id)
        .where(tasks.c.task_id == bindparam("task_id"), _IS_NATIVE, mine, _HAS_ENDED, *_LISTED)
    )


_COUNT = {
    has: Statement(select(func.count()).select_from(tasks).where(_IS_NATIVE, mine, _IS_OPEN))
    for has, mine in HAS_KEY.items()
}
_QUEUE = {
    has: Statement(
        select(
            *(tasks.c.task_id, tasks.c.number, tasks.c.client, tasks.c.origin, tasks.c.created_at),
            *(tasks.c.started_at, tasks.c.status),
        )
        .where(_IS_NATIVE, mine, _IS_OPEN)
        .order_by(
            tasks.c.status == Status.QUEUED,
            tasks.c.server.is_(None),  # on a server their order is that of the hand-over
            *(func.coalesce(tasks.c.submitted_at, _LAST), tasks.c.rank, tasks.c.seq),
        )
        .limit(MOST_QUEUED)
    )
    for has, mine in HAS_KEY.items()
}
_NEWEST = {has: _ended(has, LOOKED_AT, NEWEST) for has in HAS_KEY}
_ALL = {has: _ended(has, MOST_ENDED, MOST_ENDED) for has in HAS_KEY}
_ONE = {has: _one(mine) for has, mine in HAS_KEY.items()}
_RESULTS = Statement(
    select(native_prompts.c.task_id, native_prompts.c.result).where(
        any_of(native_prompts.c.task_id, "task_ids")
    )
)


def _last_number(mine: ColumnElement[bool]) -> Statement:
    newest = (
        select(tasks.c.number, tasks.c.seq)
        .where(mine)
        .order_by(tasks.c.seq.desc())
        .limit(LOOKED_AT)
        .subquery()
    )
    found = select(newest.c.number).where(newest.c.number.is_not(None))
    return Statement(found.order_by(newest.c.seq.desc()).limit(1))


_LAST_NUMBER = {has: _last_number(mine) for has, mine in HAS_KEY.items()}


def _hide(mine: ColumnElement[bool], *, all_of_them: bool) -> Any:
    """Return the statement that hides ended tasks: all, or those in `task_ids`."""
    ended = select(tasks.c.task_id).where(_IS_NATIVE, mine, _HAS_ENDED)
    these: ColumnElement[bool] = native_prompts.c.task_id.in_(ended)
    if not all_of_them:
        found = ended.where(tasks.c.task_id == native_prompts.c.task_id).correlate(native_prompts)
        these = and_(any_of(native_prompts.c.task_id, "task_ids"), found.exists())
    return update(native_prompts).where(~native_prompts.c.hidden, these).values(hidden=True)


_HIDE = {
    (has, whole): _hide(mine, all_of_them=whole)
    for has, mine in HAS_KEY.items()
    for whole in (True, False)
}


class NativeTasks:
    """The native tasks that were submitted with the API key `owner`, or without any."""

    def __init__(self, database: Database, owner: str | None) -> None:
        self._database = database
        self._owner = owner

    async def count(self) -> int:
        """Return the number of unfinished tasks."""
        ((number,),) = await self._rows(_COUNT)
        return int(number)

    async def unfinished(self) -> list[Unfinished]:
        """Return unfinished tasks: first those at work, then the others in queue order."""
        return [
            Unfinished(
                *(row.task_id, row.number, row.client, row.origin or "", row.created_at),
                is_running=row.status != Status.QUEUED and row.started_at is not None,
                is_canceling=row.status == Status.CANCELING,
                started_at=row.started_at,
            )
            for row in await self._rows(_QUEUE)
        ]

    async def last_number(self) -> float | None:
        """Return the number of the caller's last native task among its `LOOKED_AT` newest tasks."""
        found = await self._rows(_LAST_NUMBER)
        return found[0].number if found else None

    async def newest(self) -> list[Ended]:
        """Return the newest entries of the history, oldest first."""
        return _oldest_first(await self._rows(_NEWEST))

    async def ended(self) -> list[Ended]:
        """Return all entries of the history, oldest first."""
        return _oldest_first(await self._rows(_ALL, large=True))

    async def one(self, task_id: str) -> Ended | None:
        """Return the entry of a task; None unless it has ended and is listed."""
        found = _oldest_first(await self._rows(_ONE, task_id=task_id))
        return found[0] if found else None

    async def whole(self, task_ids: Collection[str]) -> list[NativeTask]:
        """Return tasks that this caller has, with all that is told of them."""

        def work(connection: Connection) -> list[NativeTask]:
            return [one for part in parts_of(task_ids) for one in _whole(connection, part)]

        return await self._database.read(work, large=len(task_ids) > 1)

    async def hide(self, task_ids: Sequence[str] | None) -> None:
        """Take ended tasks out of the history: these, or all."""
        query = _HIDE[self._owner is not None, task_ids is None]
        for part in [None] if task_ids is None else parts_of(plausible(task_ids)):
            values = {**self._values(), **({} if part is None else {"task_ids": part})}
            await self._database.write(partial(_execute, query, values), large=True)

    async def _rows(
        self, statements: dict[bool, Statement], *, large: bool = False, **values: Any
    ) -> Sequence[Any]:
        statement, given = statements[self._owner is not None], {**self._values(), **values}
        return await self._database.read(lambda c: statement.rows(c, given), large=large)

    def _values(self) -> Json:
        return {} if self._owner is None else {"owner": self._owner}


def _execute(query: Any, values: Json, connection: Connection) -> None:
    connection.execute(query, values)


def _oldest_first(rows: Sequence[Any]) -> list[Ended]:
    return [
        Ended(task_id, finished_at, bool(has), created_at, started_at, _state(status, reason))
        for task_id, finished_at, has, created_at, started_at, status, reason in reversed(rows)
    ]


def _state(status: str, reason: str | None) -> str:
    if status == Status.SUCCEEDED:
        return "completed"
    is_timeout = reason == CancelReason.TIMEOUT
    return "cancelled" if status == Status.CANCELED and not is_timeout else "failed"


def _whole(connection: Connection, task_ids: Sequence[str]) -> list[NativeTask]:
    these = {"task_ids": list(task_ids)}
    found = {task.task_id: task for task in fetch(connection, TASKS.where(_THESE), these)}
    parts = prompts.parts(connection, list(found))
    asked = native.requests(connection, list(found))
    rows = _RESULTS.rows(connection, these)
    results = {row.task_id: native.result_of(row.result) for row in rows}
    return [
        NativeTask(found[task_id], parts[task_id], asked[task_id], results[task_id])
        for task_id in task_ids
        if task_id in found and task_id in parts and task_id in asked
    ]
