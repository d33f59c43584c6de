"""What was changed about the servers while the gateway ran, kept in the database."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from sqlalchemy import Connection, delete, insert, select

from app.tasks.database import Database
from app.tasks.tables import servers

State = Literal["active", "draining", "removed"]


@dataclass(frozen=True, slots=True)
class ServerRow:
    id: str
    url: str
    slots: int | None  # None: as the settings say
    state: State


class Registry:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def rows(self) -> Sequence[ServerRow]:
        """What is known of servers beyond the settings."""
        found = await self._database.read(
            lambda connection: connection.execute(select(servers)).mappings().all()
        )
        return [ServerRow(**row) for row in found]

    async def put(self, row: ServerRow) -> None:
        def work(connection: Connection) -> None:
            connection.execute(delete(servers).where(servers.c.id == row.id))
            connection.execute(insert(servers).values(asdict(row)))

        await self._database.write(work)
