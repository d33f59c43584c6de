"""Readiness: whether the database and the file stores accept writes, found by trying."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from sqlalchemy import Connection, delete
from sqlalchemy.exc import SQLAlchemyError

from app.db.engine.database import Database
from app.db.tables import idempotency_keys
from app.errors import DatabaseUnavailable, GatewayError, StorageUnavailable
from app.limits.periodic import cancel_all, every

WRITE_TIMEOUT = 2.0  # seconds for a write
FRESH = 2.0  # seconds for which the last check of the stores is valid
CHECK_INTERVAL = 5.0  # seconds between two background checks

Check = Callable[[], Awaitable[None]]  # raises GatewayError if writing fails

_NOTHING = delete(idempotency_keys).where(idempotency_keys.c.created_at < 0)


class WritableStores:
    """The stores for files, by display name.

    However many callers ask, each store is checked at intervals and once at a time, so that a disk
    that hangs occupies one thread.
    """

    def __init__(self, checks: Mapping[str, Check], patience: float = WRITE_TIMEOUT) -> None:
        self._checks = checks
        self._patience = patience
        self._running: dict[str, asyncio.Task[None]] = {}
        self._found: dict[str, GatewayError] = {}
        self._looked_at = float("-inf")

    @property
    def trouble(self) -> str | None:
        """The failures of the last check, or None."""
        return "; ".join(f"{name}: {error.detail}" for name, error in self._found.items()) or None

    async def run(self) -> None:
        """Check at intervals until cancelled, so that health needs no check of its own."""
        await every(CHECK_INTERVAL, self._look, "looking for room to write")

    async def check(self) -> None:
        """Raise NoRoom or StorageUnavailable if a store does not accept writes."""
        if time.monotonic() - self._looked_at >= FRESH:
            await self._look()
        for name, error in self._found.items():
            raise type(error)(f"{name}: {error.detail}", hint=error.hint)

    async def close(self) -> None:
        """Cancel the running checks."""
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
        """Record the result of a check, which may still be running."""
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
    """Readiness of the database and of `stores`."""

    def __init__(
        self,
        database: Database,
        stores: WritableStores | None = None,
    ) -> None:
        self._database = database
        self.stores = stores or WritableStores({})
        self._trying: asyncio.Task[None] | None = None  # shared by all callers

    async def check(self) -> None:
        """Raise DatabaseUnavailable, NoRoom or StorageUnavailable if writing fails."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.create_task(self._try(), name="readiness")
        try:
            async with asyncio.timeout(WRITE_TIMEOUT):
                await asyncio.shield(self._trying)
        except TimeoutError as error:
            raise DatabaseUnavailable("The database does not take writes in time.") from error
        except SQLAlchemyError as error:
            raise DatabaseUnavailable("The database cannot be written.") from error
        await self.stores.check()

    async def close(self) -> None:
        """Cancel the running checks."""
        await cancel_all([self._trying] if self._trying else [])
        await self.stores.close()

    async def _try(self) -> None:
        await self._database.write(_write)


def _write(connection: Connection) -> None:
    """Take the write lock, which fails on a read-only database, without changing anything."""
    connection.execute(_NOTHING)
