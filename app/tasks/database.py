"""Transactions on SQLite and PostgreSQL behind one pair of methods.

A transaction is a plain function of a connection. On SQLite the whole of it runs in a thread:
one hop, where an asynchronous driver makes one a statement (measured: 3 to 5 times the time). On
PostgreSQL it runs on the event loop over asyncpg. Either way a cancelled caller leaves nothing
half done.
"""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, Insert, Table, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from app.errors import InvalidInput
from app.tasks.postgresql import PATIENCE, Postgresql
from app.tasks.schema import bring_up, is_current

T = TypeVar("T")
Work = Callable[[Connection], T]

_HINT = "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
DISK_FULL, NUL = "53100", "22021"  # PostgreSQL's SQLSTATEs
READERS = 2  # threads; SQLite reads beside a write, Python's lock lets few run at once


class Database(Protocol):
    """`read` and `write` run a function in a transaction and answer what it returns."""

    async def read(self, work: Work[T]) -> T: ...

    async def write(self, work: Work[T]) -> T: ...

    def alone(self, name: str) -> AbstractAsyncContextManager[bool]:
        """True if no other process does what has this name, and none will meanwhile."""
        ...

    def locked(self, name: str) -> AbstractAsyncContextManager[object]:
        """Waits for whoever does what has this name."""
        ...

    async def listen(self, hear: Callable[[str], None]) -> None:
        """Call it with what other processes tell, until cancelled (see signals.py); and with ""
        whenever something may have been missed."""
        ...

    async def close(self) -> None: ...


def parse_url(database_url: str) -> URL:
    """sqlite:///FILE or postgresql://... Raises InvalidInput for what cannot be used."""
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise InvalidInput("This is not the URL of a database.", hint=_HINT) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise InvalidInput(f"{url.get_backend_name()} is not supported.", hint=_HINT)
    if url.get_backend_name() == "postgresql" and find_spec("asyncpg") is None:
        raise InvalidInput("PostgreSQL needs the package asyncpg.", hint="pip install asyncpg")
    return url


async def open_database(database_url: str, *, patience: float = PATIENCE) -> Database:
    """Connect, and bring the schema up. `patience`: seconds to wait for a server that does not
    answer. Raises InvalidInput, and Unreachable after that."""
    url = parse_url(database_url)
    database: _Sqlite | Postgresql
    if url.get_backend_name() == "sqlite":
        database = _Sqlite(url.set(drivername="sqlite"))
    else:
        database = Postgresql(url.set(drivername="postgresql+asyncpg"), patience)
    try:
        if not await database.read(is_current):
            await database.write(bring_up, slow=True)
    except BaseException:
        await database.close()
        raise
    return database


def is_full(error: SQLAlchemyError) -> bool:
    """Is there no room left to write?"""
    return _code(error) in ("SQLITE_FULL", DISK_FULL)


def has_nul(error: SQLAlchemyError) -> bool:
    """Was a text with a NUL character refused, which only SQLite takes?"""
    return _code(error) == NUL


def _code(error: SQLAlchemyError) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else None
    return getattr(cause, "sqlite_errorname", "") or getattr(cause, "sqlstate", "") or ""


def insert_if_new(connection: Connection, table: Table) -> Insert:
    """An INSERT that leaves rows alone whose key is there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()


class _Sqlite:
    """One writer at a time, beside readers: write-ahead logging keeps them apart."""

    def __init__(self, url: URL) -> None:
        if url.database and not url.database.startswith(("file:", ":memory:")):
            _make_private(Path(url.database))
        # IMMEDIATE takes the write lock at once: a transaction that first reads and then writes
        # would otherwise fail when another process has written in between.
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._writer = _sqlite_engine(url, begin="BEGIN IMMEDIATE")
        self._reader = _sqlite_engine(url, begin="BEGIN")
        self._write_thread = ThreadPoolExecutor(1, thread_name_prefix="database-write")
        self._read_threads = ThreadPoolExecutor(READERS, thread_name_prefix="database-read")

    async def read(self, work: Work[T]) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, _run, self._reader, work)

    async def write(self, work: Work[T], *, slow: bool = False) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._write_thread, _run, self._writer, work)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[bool]:
        yield True  # it is made for one process; what two do at once does no harm

    def locked(self, name: str) -> AbstractAsyncContextManager[object]:
        return self._locks[name]

    async def listen(self, hear: Callable[[str], None]) -> None:
        await asyncio.Event().wait()  # there is nobody

    async def close(self) -> None:
        for threads in (self._write_thread, self._read_threads):
            await asyncio.to_thread(threads.shutdown)
        self._writer.dispose()
        self._reader.dispose()


def _make_private(path: Path) -> None:
    """For its owner's eyes only: it holds the secrets that sign webhooks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _run(engine: Engine, work: Work[T]) -> T:
    with engine.begin() as connection:
        return work(connection)


def _sqlite_engine(url: URL, *, begin: str) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",  # survives a crash of ours; a power cut may cost the last writes
            "busy_timeout=30000",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
