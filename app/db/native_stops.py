"""Which running prompts clients of ComfyUI's own protocol wanted to delete from the queue.

In the database, as the two requests of one client may come to two replicas.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select, update

from app.db.engine.database import Database
from app.db.engine.list_parameters import any_of
from app.db.engine.statement import Statement
from app.db.native_tasks import HAS_KEY
from app.db.tables import native_prompts, tasks
from app.limits.json_types import Json

_LATELY = or_(tasks.c.finished_at.is_(None), tasks.c.finished_at > bindparam("since"))
_WANTED = {
    has: Statement(
        select(tasks.c.task_id, native_prompts.c.stop_at)
        .join(native_prompts, native_prompts.c.task_id == tasks.c.task_id)
        .where(tasks.c.number.is_not(None), mine, _LATELY)
        .where(native_prompts.c.stop_from == bindparam("origin"))
        .where(native_prompts.c.stop_at > bindparam("since"))
        .order_by(native_prompts.c.stop_at.desc())
        .limit(1)
    )
    for has, mine in HAS_KEY.items()
}
_WANT = (
    update(native_prompts)
    .where(any_of(native_prompts.c.task_id, "task_ids"))
    .values(stop_from=bindparam("origin"), stop_at=bindparam("now"))
)


class NativeStops:
    """Of the tasks that were submitted with the API key `owner`, or without any."""

    def __init__(self, database: Database, owner: str | None) -> None:
        self._database = database
        self._owner = owner

    async def want(self, task_ids: Sequence[str], origin: str, now: float) -> None:
        """Note that a client wants to stop these tasks of the owner, which run."""
        values = {"task_ids": list(task_ids), "origin": origin, "now": now}
        await self._database.write(partial(_execute, values))

    async def wanted(self, origin: str, since: float) -> tuple[str, float] | None:
        """Return the task that this client wanted to stop last, and when; None if it did not since
        that time."""
        query = _WANTED[self._owner is not None]
        given: Json = {"origin": origin, "since": since}
        if self._owner is not None:
            given["owner"] = self._owner
        found = await self._database.read(lambda connection: query.rows(connection, given))
        return (found[0].task_id, found[0].stop_at) if found else None


def _execute(values: Any, connection: Connection) -> None:
    connection.execute(_WANT, values)
