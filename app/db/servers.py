"""Changes of the servers at run time, stored for all processes."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, bindparam, delete, func, insert, select

from app.db.engine.database import Database
from app.db.engine.notify import Topic, notify
from app.db.queries import is_active
from app.db.tables import servers, tasks

# leaving: to be removed as soon as no process drives a task there.
State = Literal["active", "draining", "leaving", "removed"]


@dataclass(frozen=True, slots=True)
class ServerRow:
    id: str
    url: str
    slots: int | None  # None for the default of the settings
    state: State


class ServerRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self) -> Sequence[ServerRow]:
        """Return the servers that differ from the settings."""
        found = await self._database.read(
            lambda connection: connection.execute(select(servers)).mappings().all()
        )
        return [ServerRow(**row) for row in found]

    async def put(self, row: ServerRow, *, resumed: bool = False) -> None:
        def work(connection: Connection) -> None:
            connection.execute(delete(servers).where(servers.c.id == row.id))
            connection.execute(insert(servers).values(asdict(row)))
            notify(connection, Topic.SERVERS)
            if resumed:
                notify(connection, Topic.RESUMED, row.id)

        await self._database.write(work)

    async def running_on(self, server_id: str) -> int:
        """Return how many tasks run on the server, of any process."""
        query = _ON_IT.where(tasks.c.started_at.is_not(None))
        return await self._database.read(lambda c: c.scalar(query, {"it": server_id}) or 0)

    async def driven_on(self, server_id: str) -> int:
        """Return how many tasks on the server have an owner."""
        query = _ON_IT.where(tasks.c.owner.is_not(None))
        return await self._database.read(lambda c: c.scalar(query, {"it": server_id}) or 0)


_ON_IT = (
    select(func.count()).select_from(tasks).where(is_active(), tasks.c.server == bindparam("it"))
)
