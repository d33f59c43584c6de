"""SQLite: one writer beside readers, short transactions in the event loop."""

import asyncio
import os
import sqlite3
import threading
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL
from sqlalchemy.exc import OperationalError

from app.db.engine.errors import code_of, keep_quiet
from app.db.engine.list_parameters import MAX_INSERT_ROWS
from app.limits.turns import Turns
from app.limits.worker_threads import CallerSlots

T = TypeVar("T")
Work = Callable[[Connection], T]


MAX_THREADS = 3  # SQLite reads beside a write; the GIL limits parallelism


PER_TURN = 8  # transactions per turn of the event loop, so that a loop over many lets others run


CHECKPOINT_WRITES = 500  # writes of a few kB, after which the WAL is moved into the main file


def file_of(url: URL) -> Path | None:
    """Return the file of an SQLite database; None for one in memory."""
    name = url.database or ":memory:"
    if name.startswith("file:") and "uri" in url.query:
        name = unquote(urlsplit(name).path)
        if url.query.get("mode") == "memory":
            return None
    return None if name.startswith(":memory:") else Path(name)


class Sqlite:
    """One writer at a time beside readers, which is possible with write-ahead logging.

    A transaction on a few rows runs directly in the event loop: it takes about 0.1 ms, and
    switching to a thread and back would take as long again, or many times that while the loop is
    busy. A `large` transaction, and one that finds the database locked, runs in a thread.
    """

    def __init__(self, url: URL) -> None:
        if (path := file_of(url)) is not None and not str(url.database).startswith("file:"):
            _make_private(path)
        # IMMEDIATE acquires the write lock at once: a transaction that first reads and then writes
        # would fail if another process has written in between.
        self._read_here = _Transactions(url, "BEGIN", patience=0)
        self._write_here = _Transactions(url, "BEGIN IMMEDIATE", patience=0)
        self._read_apart = _Transactions(url, "BEGIN")
        self._write_apart = _Transactions(url, "BEGIN IMMEDIATE")
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="database")
        self._slots = CallerSlots(
            MAX_THREADS - 1, free=True
        )  # for reads only: a waiting write blocks others
        self._turns = Turns(PER_TURN)
        self._writing = asyncio.Lock()
        self._unsettled = 0  # writes since the last checkpoint
        self._settling: asyncio.Task[None] | None = None
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def remember(self, **facts: Any) -> None:
        for way in (self._read_here, self._write_here, self._read_apart, self._write_apart):
            way.engine.update_execution_options(**facts)

    async def read(self, work: Work[T], *, large: bool = False) -> T:
        if not large:
            await self._turns.take()
            try:
                return self._read_here.run(work)
            except OperationalError as error:
                if not _is_locked(error):
                    raise
        give_back = await self._slots.take()
        return await self._apart(lambda: self._read_apart.run(work), give_back)

    async def write(self, work: Work[T], *, large: bool = False, slow: bool = False) -> T:
        if not large and not slow:
            await self._turns.take()
            try:
                return await self._write_now(work)
            except OperationalError as error:
                if not _is_locked(error):
                    raise
        await self._writing.acquire()
        return await self._apart(lambda: self._write_apart.run(work), self._writing.release)

    async def _write_now(self, work: Work[T]) -> T:
        if self._writing.locked():
            async with self._writing:
                answer = self._write_here.run(work)
        else:
            answer = self._write_here.run(work)
        self._unsettled += 1
        if self._unsettled == CHECKPOINT_WRITES:  # in a thread, as it waits for the disk
            self._settling = asyncio.create_task(self._settle())
        return answer

    async def _settle(self) -> None:
        """Checkpoint without concurrent writes: the WAL restarts only when all of it was moved."""
        self._unsettled = 0
        await self._writing.acquire()
        with suppress(sqlite3.Error):  # left to the next checkpoint
            await self._apart(self._write_apart.settle, self._writing.release)

    async def _apart(self, run: Callable[[], T], then: Callable[[], None] | None = None) -> T:
        """Run in a thread, to completion even if the caller is cancelled."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, run)

        def ended(done: asyncio.Future[T]) -> None:
            if not done.cancelled():
                done.exception()  # mark as retrieved: the caller may be gone
            if then is not None:
                then()

        running.add_done_callback(ended)
        return await asyncio.shield(running)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[bool]:
        yield True  # SQLite is for one process; concurrent work of two is harmless

    def locked(self, name: str) -> AbstractAsyncContextManager[object]:
        return self._locks[name]

    async def listen(self, hear: Callable[[str], None]) -> None:
        await asyncio.Event().wait()  # no other processes

    async def close(self) -> None:
        if self._settling is not None:
            await asyncio.wait([self._settling])
        await asyncio.to_thread(self._threads.shutdown)
        for part in (self._read_here, self._write_here, self._read_apart, self._write_apart):
            part.close()


def _make_private(path: Path) -> None:
    """Create the file readable for its owner only, as it contains secrets of webhooks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


class _Transactions:
    """Runs transactions in the calling thread, on a connection that is kept until an error.

    `patience`: milliseconds to wait while others have locked the database.
    """

    def __init__(self, url: URL, begin: str, *, patience: int = 30_000) -> None:
        self.engine = _sqlite_engine(url, begin, patience)
        self._kept: dict[int, Connection] = {}  # by thread

    def run(self, work: Work[T]) -> T:
        thread = threading.get_ident()
        connection = self._kept.pop(thread, None) or self.engine.connect()
        try:
            with connection.begin():
                answer = work(connection)
        except BaseException:
            connection.close()  # rolls back a failed commit
            raise
        self._kept[thread] = connection
        return answer

    def settle(self) -> None:
        """Move the WAL into the main file, except what readers still need."""
        with closing(self.engine.raw_connection()) as connection:  # outside a transaction
            connection.cursor().execute("PRAGMA wal_checkpoint")

    def close(self) -> None:
        for connection in self._kept.values():
            connection.close()
        self.engine.dispose()


def _is_locked(error: OperationalError) -> bool:
    return code_of(error).startswith("SQLITE_BUSY")


def _sqlite_engine(url: URL, begin: str, patience: int) -> Engine:
    engine = create_engine(
        url,
        connect_args={"check_same_thread": False},
        insertmanyvalues_page_size=MAX_INSERT_ROWS,
        hide_parameters=True,
    )
    keep_quiet(engine)

    def do_begin(connection: Any) -> None:
        connection.execute(begin)

    engine.dialect.do_begin = do_begin  # type: ignore[assignment,method-assign]

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin transactions
        for pragma in (
            "journal_mode=WAL",
            # Survives a crash of the process; a power failure may lose the last writes
            "synchronous=NORMAL",
            f"busy_timeout={patience}",
            # pages; 0 in the event loop, as a checkpoint waits for the disk
            f"wal_autocheckpoint={1000 if patience else 0}",
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine
