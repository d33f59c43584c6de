"""Whether tasks could be taken now: database and places of files are tried, not believed."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import Connection, delete
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine.database import Database
from app.db.tables import idempotency_keys
from app.errors import DatabaseUnavailable, GatewayError, StorageUnavailable
from app.limits.periodic import cancel_all, every

WRITE_TIMEOUT = 2.0  # seconds that a write may take
FRESH = 2.0  # seconds for which a look at the places of files counts
CHECK_INTERVAL = 5.0  # seconds between two looks that nobody asked for

Check = Callable[[], Awaitable[None]]  # raises GatewayError where nothing can be written

_NOTHING = delete(idempotency_keys).where(idempotency_keys.c.created_at < 0)


class WritableStores:
    """Where files are written, by names for people. However many ask, each place is tried every few
    seconds, and once at a time: a disk that hangs holds one thread."""

    def __init__(self, checks: Mapping[str, Check], patience: float = WRITE_TIMEOUT) -> None:
        self._checks = checks
        self._patience = patience
        self._running: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, GatewayError] = {}
        self._looked_at = float("-inf")

    @property
    def trouble(self) -> str | None:
        """What the last look found."""
        return "; ".join(f"{name}: {error.detail}" for name, error in self._found.items()) or None

    async def run(self) -> None:
        """Look until cancelled, so that health knows without a look."""
        await every(CHECK_INTERVAL, self._look, "looking for room to write")

    async def check(self) -> None:
        """Raises NoRoom or StorageUnavailable if one of them cannot be written to."""
        if time.monotonic() - self._looked_at >= FRESH:
            await self._look()
        for name, error in self._found.items():
            raise type(error)(f"{name}: {error.detail}", hint=error.hint)

    async def close(self) -> None:
        """Give up the checks that are running."""
        await cancel_all(self._running.values())

    async def _look(self) -> None:
        self._looked_at = time.monotonic()
        for name, check in self._checks.items():
            if name not in self._running:
                self._running[name] = asyncio.create_task(_run(check), name=f"room: {name}")
        if self._running:
            await asyncio.wait(self._running.values(), timeout=self._patience)
        for name in self._checks:
            self._note(name)

    def _note(self, name: str) -> None:
        """What came of a look that may not be over."""
        running = self._running.get(name)
        if running is None:
            return
        if not running.done():
            self._found[name] = StorageUnavailable("It does not answer in time.")
            return
        del self._running[name]
        match None if running.cancelled() else running.exception():
            case None:
                self._found.pop(name, None)
            case GatewayError() as error:
                self._found[name] = error
            case error:
                self._found[name] = StorageUnavailable(f"It failed: {type(error).__name__}.")


async def _run(check: Check) -> None:
    await check()


class Readiness:
    """`stores`: where files are written."""

    def __init__(
        self,
        database: Database,
        stores: WritableStores | None = None,
        patience: float = WRITE_TIMEOUT,
    ) -> None:
        self._database = database
        self.stores = stores or WritableStores({})
        self._patience = patience
        self._trying: asyncio.Task[None] | None = None  # one at a time, however many ask

    async def check(self) -> None:
        """Raises DatabaseUnavailable if nothing can be written to the database, and NoRoom or
        StorageUnavailable for the places of files."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try(), name="readiness")
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(self._trying)
        except TimeoutError as error:
            raise DatabaseUnavailable("The database does not take writes in time.") from error
        except SQLAlchemyError as error:
            raise DatabaseUnavailable("The database cannot be written.") from error
        await self.stores.check()

    async def close(self) -> None:
        """Give up the checks that are running."""
        await cancel_all([self._trying] if self._trying else [])
        await self.stores.close()

    async def _try(self) -> None:
        await self._database.write(_write)


def _write(connection: Connection) -> None:
    """Takes the lock of a writer, and fails where only reading is possible; changes nothing."""
    connection.execute(_NOTHING)
