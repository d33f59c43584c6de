"""Engines for SQLite and PostgreSQL behind one pair of context managers."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from app.errors import InvalidInput
from app.tasks.tables import metadata

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def async_url(database_url: str) -> URL:
    """The URL with an asynchronous driver: sqlite:///file.db is enough to write."""
    try:
        url = make_url(database_url)
    except Exception as error:
        raise InvalidInput(f"COMFYUI_DATABASE_URL cannot be read: {error}.") from error
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


class Database:
    """`read()` and `write()` transactions. On SQLite one writer at a time, many readers."""

    def __init__(self, database_url: str) -> None:
        url = async_url(database_url)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if self.is_sqlite and url.database:
            Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        self._reader = create_async_engine(url, pool_pre_ping=not self.is_sqlite)
        self._writer = self._reader
        if self.is_sqlite:
            # One connection: waiting writers queue in the pool, not on SQLite's busy handler.
            self._writer = create_async_engine(url, pool_size=1, max_overflow=0, pool_timeout=60)
            _prepare_sqlite(self._reader, begin="BEGIN")
            # IMMEDIATE takes the write lock at once: a transaction that first reads and then
            # writes would otherwise fail when another process has written in between.
            _prepare_sqlite(self._writer, begin="BEGIN IMMEDIATE")

    async def open(self) -> None:
        async with self.write() as connection:
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        await self._writer.dispose()
        await self._reader.dispose()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        async with self._reader.connect() as connection:
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        async with self._writer.begin() as connection:
            yield connection


def _prepare_sqlite(engine: AsyncEngine, *, begin: str) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "busy_timeout=30000",
            "foreign_keys=ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:
        connection.exec_driver_sql(begin)
