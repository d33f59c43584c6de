"""SQLite: one writer beside readers, short transactions on the event loop."""

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
from app.limits.worker_threads import CallerSlots

T = TypeVar("T")
Work = Callable[[Connection], T]


MAX_THREADS = 3  # SQLite reads beside a write, Python's lock lets few run at once


CHECKPOINT_WRITES = 500  # writes of a few kB each after which SQLite moves them into the main file


def file_of(url: URL) -> Path | None:
    """The file that holds a database of SQLite; None where it is in memory."""
    name = url.database or ":memory:"
    if name.startswith("file:") and "uri" in url.query:
        name = unquote(urlsplit(name).path)
        if url.query.get("mode") == "memory":
            return None
    return None if name.startswith(":memory:") else Path(name)


class Sqlite:
    """One writer at a time, beside readers: write-ahead logging keeps them apart.

    What touches a few rows runs at once, on the event loop: it takes a tenth of a millisecond,
    and a hop to a thread and back takes as long again, or, while the loop has much to do, many
    times that. What is `large`, and what finds the database locked, runs in a thread.
    """

    def __init__(self, url: URL) -> None:
        if (path := file_of(url)) is not None and not str(url.database).startswith("file:"):
            _make_private(path)
        # IMMEDIATE takes the write lock at once: a transaction that first reads and then writes
        # would otherwise fail when another process has written in between.
        self._read_here = _Transactions(url, "BEGIN", patience=0)
        self._write_here = _Transactions(url, "BEGIN IMMEDIATE", patience=0)
        self._read_apart = _Transactions(url, "BEGIN")
        self._write_apart = _Transactions(url, "BEGIN IMMEDIATE")
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="database")
        self._slots = CallerSlots(
            MAX_THREADS - 1, free=True
        )  # for reads: a write is waited for by others
        self._writing = asyncio.Lock()
        self._unsettled = 0  # writes since the last checkpoint
        self._settling: asyncio.Task[None] | None = None
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def remember(self, **facts: Any) -> None:
        for way in (self._read_here, self._write_here, self._read_apart, self._write_apart):
            way.engine.update_execution_options(**facts)

    async def read(self, work: Work[T], *, large: bool = False) -> T:
        if not large:
            await asyncio.sleep(0)  # one of many in a loop lets others in
            try:
                return self._read_here.run(work)
            except OperationalError as error:
                if not _is_locked(error):
                    raise
        give_back = await self._slots.take()
        return await self._apart(lambda: self._read_apart.run(work), give_back)

    async def write(self, work: Work[T], *, large: bool = False, slow: bool = False) -> T:
        if not large and not slow:
            await asyncio.sleep(0)
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
        if self._unsettled == CHECKPOINT_WRITES:  # it waits for the disk, so not here
            self._settling = asyncio.create_task(self._settle())
        return answer

    async def _settle(self) -> None:
        """Writes wait meanwhile: the log begins anew only when all of it has been moved."""
        self._unsettled = 0
        await self._writing.acquire()
        with suppress(sqlite3.Error):  # the next one does it
            await self._apart(self._write_apart.settle, self._writing.release)

    async def _apart(self, run: Callable[[], T], then: Callable[[], None] | None = None) -> T:
        """In a thread, which comes to its end even if the caller is cancelled."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, run)

        def ended(done: asyncio.Future[T]) -> None:
            if not done.cancelled():
                done.exception()  # whoever asked may be gone
            if then is not None:
                then()

        running.add_done_callback(ended)
        return await asyncio.shield(running)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[bool]:
        yield True  # it is made for one process; what two do at once does no harm

    def locked(self, name: str) -> AbstractAsyncContextManager[object]:
        return self._locks[name]

    async def listen(self, hear: Callable[[str], None]) -> None:
        await asyncio.Event().wait()  # there is nobody

    async def close(self) -> None:
        if self._settling is not None:
            await asyncio.wait([self._settling])
        await asyncio.to_thread(self._threads.shutdown)
        for part in (self._read_here, self._write_here, self._read_apart, self._write_apart):
            part.close()


def _make_private(path: Path) -> None:
    """For its owner's eyes only: it holds the secrets that sign webhooks."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


class _Transactions:
    """Runs transactions in whatever thread asks, on a connection that this keeps while all goes
    well. `patience`: milliseconds to wait for others that have the database locked."""

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
            connection.close()  # which ends a transaction that could not be committed
            raise
        self._kept[thread] = connection
        return answer

    def settle(self) -> None:
        """Move what was written into the main file, as far as nobody needs it to stay."""
        with closing(self.engine.raw_connection()) as connection:  # in no transaction
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
        connection.isolation_level = None  # the driver must not begin transactions by itself
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",  # survives a crash of ours; a power cut may cost the last writes
            f"busy_timeout={patience}",
            f"wal_autocheckpoint={1000 if patience else 0}",  # pages: it waits for the disk
            "foreign_keys=ON",
        ):
            connection.execute(f"PRAGMA {pragma}").close()

    return engine
