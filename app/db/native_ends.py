"""Ends of tasks that clients of ComfyUI's own protocol are to be told."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, and_, bindparam, exists, false, func, select, update

from app.db import mapping
from app.db.engine.database import Database
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of
from app.db.engine.statement import Statement
from app.db.native import result_of
from app.db.queries import FOUND_KEY_NAME, in_states
from app.db.tables import native_prompts, tasks
from app.events.client_channels import Channel
from app.limits.periodic import every, to_its_end
from app.tasks.model import TERMINAL, Status, Task
from app.tasks.native import NativeResult

TOLD_WITHIN = 600.0  # seconds after a task's end in which a socket that comes is told of it
# Seconds after a task's end in which its client may post another prompt and still wait for this
# end. Who posts later has given up on it, and with a fixed id may take it for the new prompt's.
STILL_AWAITED = 3.0
MOST_UNTOLD = 1000  # ends that one look finds
MOST_UNSAVED = 10_000  # told ends that are not stored yet; of more the oldest are told again
GATHERED = 0.02  # seconds in which told ends are gathered before they are stored

_ENDED = in_states(TERMINAL - {Status.EXPIRED})
_TASK = select(tasks).where(tasks.c.task_id == bindparam("task_id"), _ENDED)
_RESULT = Statement(
    select(native_prompts.c.result).where(native_prompts.c.task_id == bindparam("task_id"))
)
_LATER = tasks.alias("later")
_IS_SUPERSEDED = exists().where(
    and_(
        _LATER.c.client == tasks.c.client,
        _LATER.c.client.is_not(None),  # as in the index
        func.coalesce(_LATER.c.key_name, "") == func.coalesce(tasks.c.key_name, ""),
        _LATER.c.origin == tasks.c.origin,
        _LATER.c.created_at > tasks.c.finished_at + STILL_AWAITED,
    )
)
_UNTOLD = (
    select(tasks.c.task_id, tasks.c.origin)
    .join(native_prompts, native_prompts.c.task_id == tasks.c.task_id)
    .where(tasks.c.client.is_not(None), tasks.c.client == bindparam("client"))
    .where(tasks.c.finished_at > bindparam("since"), native_prompts.c.told == false(), _ENDED)
    .where(~_IS_SUPERSEDED)
    .order_by(tasks.c.finished_at, tasks.c.seq)
    .limit(MOST_UNTOLD)
)
_AT_WORK = (
    select(tasks.c.task_id, tasks.c.origin)
    .where(tasks.c.client.is_not(None), tasks.c.client == bindparam("client"))
    .where(tasks.c.finished_at.is_(None), in_states((Status.RUNNING, Status.CANCELING)))
    .where(tasks.c.started_at.is_not(None))
    .order_by(tasks.c.started_at, tasks.c.seq)
    .limit(MOST_UNTOLD)
)
_TELL = update(native_prompts).where(any_of(native_prompts.c.task_id, "task_ids")).values(told=True)


def _by_owner(query: Any) -> dict[bool, Statement]:
    """Return the query for tasks of the API key `owner`, by whether there is one."""
    return {
        True: Statement(query.where(bindparam("owner") == FOUND_KEY_NAME)),
        False: Statement(query.where(FOUND_KEY_NAME.is_(None))),
    }


_TASK_OF, _UNTOLD_OF, _AT_WORK_OF = map(_by_owner, (_TASK, _UNTOLD, _AT_WORK))


@dataclass(frozen=True, slots=True)
class Posted:
    """A task of a client, and where it was posted from (see app/tasks/native.py)."""

    task_id: str
    origin: str


@dataclass(frozen=True, slots=True)
class End:
    """A finished task. `result`: of its server's history, for a task that did not succeed."""

    task: Task
    result: NativeResult | None = None


class NativeEnds:
    """Reads ends, and remembers which of them were told.

    That is stored a moment later: after a crash an end may be told again, and none is forgotten.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._unsaved: dict[str, None] = {}  # ids of tasks, the oldest first
        self._wake = asyncio.Event()

    async def get(self, owner: str | None, task_id: str) -> End | None:
        """Return the end of a task of the owner; None if it has not ended, or is not there."""

        def work(connection: Connection) -> End | None:
            rows = _TASK_OF[owner is not None].rows(connection, _of(owner, task_id=task_id))
            if not rows:
                return None
            task = mapping.task_of(rows[0]._asdict())
            if task.status is Status.SUCCEEDED:
                return End(task)
            results = _RESULT.rows(connection, {"task_id": task_id})
            return End(task, result_of(results[0].result) if results else None)

        return await self._database.read(work)

    async def untold(self, channel: Channel) -> list[Posted]:
        """Return the client's tasks that ended lately without a socket being told, oldest first."""
        since = time.time() - TOLD_WITHIN
        found = await self._of_client(_UNTOLD_OF, channel, since=since)
        return [posted for posted in found if posted.task_id not in self._unsaved]

    async def at_work(self, channel: Channel) -> list[Posted]:
        """Return the client's tasks that run, the one that began first at the beginning."""
        return await self._of_client(_AT_WORK_OF, channel)

    async def _of_client(
        self, queries: dict[bool, Statement], channel: Channel, **values: Any
    ) -> list[Posted]:
        query = queries[channel.owner is not None]
        given = _of(channel.owner, client=channel.client_id, **values)
        rows = await self._database.read(lambda connection: query.rows(connection, given))
        return [Posted(row.task_id, row.origin or "") for row in rows]

    def tell(self, task_id: str) -> None:
        """Remember that a socket was sent the end of a task."""
        self._unsaved[task_id] = None
        if len(self._unsaved) > MOST_UNSAVED:
            del self._unsaved[next(iter(self._unsaved))]
        self._wake.set()

    async def run(self) -> None:
        """Store what was told until cancelled, and then what is left."""
        try:
            await every(60.0, self._save, "storing which ends were told", self._wake)
        finally:
            await to_its_end(self._store())

    async def _save(self) -> None:
        if self._unsaved:
            await asyncio.sleep(GATHERED)
            await self._store()

    async def _store(self) -> None:
        while ids := list(self._unsaved)[:MAX_LIST_ROWS]:
            await self._database.write(partial(_note_told, task_ids=ids))
            for task_id in ids:  # only now: until then the database says that they are untold
                self._unsaved.pop(task_id, None)


def _note_told(connection: Connection, task_ids: Sequence[str]) -> None:
    connection.execute(_TELL, {"task_ids": task_ids})


def _of(owner: str | None, **values: Any) -> dict[str, Any]:
    return values if owner is None else {**values, "owner": owner}
