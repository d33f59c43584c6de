"""SQL for the tasks that other processes have on servers."""

from collections.abc import Sequence

from sqlalchemy import bindparam, or_, select

from app.db.engine.database import Database
from app.db.lease import Lease
from app.db.mapping import Row
from app.db.queries import is_active
from app.db.tables import tasks

# Those without an owner were left behind by a process that ended; their prompts are still there.
_ELSEWHERE = select(
    *(tasks.c.seq, tasks.c.task_id, tasks.c.status, tasks.c.shape, tasks.c.server, tasks.c.owner),
    *(tasks.c.created_at, tasks.c.submitted_at, tasks.c.started_at, tasks.c.progress),
    *(tasks.c.number, tasks.c.client, tasks.c.origin, tasks.c.lane),
).where(
    is_active(),
    tasks.c.server.is_not(None),
    or_(tasks.c.owner.is_(None), tasks.c.owner != bindparam("me")),
)


class ReplicaTaskRepository:
    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._me = {"me": lease.runner_id}

    async def rows(self) -> Sequence[Row]:
        """Return the rows of unfinished tasks on servers that this process does not own; see
        `mapping.outline_of`."""
        return await self._database.read(lambda c: c.execute(_ELSEWHERE, self._me).mappings().all())
