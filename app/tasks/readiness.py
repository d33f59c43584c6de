"""Whether tasks could be taken now: the database is tried, not believed."""

import asyncio

from sqlalchemy import Connection, delete
from sqlalchemy.exc import SQLAlchemyError

from app.errors import DatabaseUnavailable
from app.tasks.database import Database
from app.tasks.tables import idempotency_keys

PATIENCE = 2.0  # seconds that a write may take

_NOTHING = delete(idempotency_keys).where(idempotency_keys.c.created_at < 0)


class Readiness:
    def __init__(self, database: Database, patience: float = PATIENCE) -> None:
        self._database = database
        self._patience = patience
        self._trying: asyncio.Task[None] | None = None  # one at a time, however many ask

    async def check(self) -> None:
        """Raises DatabaseUnavailable if nothing can be written."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try(), name="readiness")
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(self._trying)
        except TimeoutError as error:
            raise DatabaseUnavailable("The database does not take writes in time.") from error
        except SQLAlchemyError as error:
            raise DatabaseUnavailable("The database cannot be written.") from error

    async def _try(self) -> None:
        await self._database.write(_write)


def _write(connection: Connection) -> None:
    """Takes the lock of a writer, and fails where only reading is possible; changes nothing."""
    connection.execute(_NOTHING)
