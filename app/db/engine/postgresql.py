"""PostgreSQL: shared by processes, may be restarted while they run, and delivers notifications."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from sqlalchemy import Connection, event, func, select
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, InvalidatePoolError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from app.db.engine.errors import InDoubt, Unreachable, code_of, keep_quiet
from app.db.engine.list_parameters import MAX_INSERT_ROWS
from app.limits.periodic import wait_or_timeout
from app.limits.worker_threads import CallerSlots

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

log = logging.getLogger(__name__)

T = TypeVar("T")

CHANNEL = "gateway"
RECONNECT_TIMEOUT = 10.0  # seconds that a transaction waits for a server that is restarting
CONNECTIONS = 15  # kept open once they were needed
LARGE_READS = 4  # per caller at a time
RETRY = 0.2  # seconds between two attempts
PING = 15.0  # seconds between two checks of the connection for notifications
CONNECT_TIMEOUT = 5.0
STATEMENT_TIMEOUT = 60.0  # for a server that is connected but does not answer
# SQLSTATEs after which the same transaction may succeed: connection lost (08...), the server stops
# or starts, deadlock, serialization failure.
_PASSING = ("57P01", "57P02", "57P03", "40P01", "40001")


class Postgresql:
    """`patience`: seconds to wait for a server that does not accept connections."""

    def __init__(self, url: URL, patience: float = RECONNECT_TIMEOUT) -> None:
        self._patience = patience
        self._name = f"gateway-{uuid4().hex[:12]}"
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._slots = CallerSlots(LARGE_READS, free=True)
        # The last one used comes first: it has prepared most statements.
        self._engine = self._make_engine(
            url,
            command_timeout=STATEMENT_TIMEOUT,
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_use_lifo=True,
        )
        event.listen(self._engine.sync_engine, "checkout", _check_open)
        # Without BEGIN and ROLLBACK: statements of a transaction see each what is committed anyway.
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")
        # For operations without a time limit.
        self._slow = self._make_engine(url, poolclass=NullPool)

    def _make_engine(
        self, url: URL, *, command_timeout: float | None = None, **more: Any
    ) -> "AsyncEngine":
        # A tenth of all import time at startup, and not needed for SQLite.
        from sqlalchemy.ext.asyncio import create_async_engine

        arguments = {
            "timeout": CONNECT_TIMEOUT,
            "command_timeout": command_timeout,
            "server_settings": {"application_name": self._name},
        }
        more["insertmanyvalues_page_size"] = MAX_INSERT_ROWS
        engine = create_async_engine(url, connect_args=arguments, hide_parameters=True, **more)
        keep_quiet(engine.sync_engine)
        return engine

    def remember(self, **facts: Any) -> None:
        for engine in (self._engine, self._reading, self._slow):
            engine.sync_engine.update_execution_options(**facts)

    async def read(self, work: Callable[[Connection], T], *, large: bool = False) -> T:
        async def run() -> T:
            async with self._reading.connect() as connection:
                return await connection.run_sync(work)

        give_back = await self._slots.take() if large else None
        try:
            return await self._patiently(run)
        finally:
            if give_back is not None:
                give_back()

    async def write(
        self, work: Callable[[Connection], T], *, large: bool = False, slow: bool = False
    ) -> T:
        async def run() -> T:
            async with (self._slow if slow else self._engine).connect() as connection:
                result = await connection.run_sync(work)
                with _committing():
                    await connection.commit()
                return result

        return await self._patiently(run)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncIterator[bool]:
        async with self._holding(func.pg_try_advisory_lock, name) as got:
            yield bool(got)

    @asynccontextmanager
    async def locked(self, name: str) -> AsyncIterator[None]:
        # The process's own lock first, so that a process waits with one connection only.
        async with self._locks[name], self._holding(func.pg_advisory_lock, name):
            yield

    @asynccontextmanager
    async def _holding(self, lock: Any, name: str) -> AsyncIterator[Any]:
        """Hold an advisory lock, which ends with its connection."""
        async with AsyncExitStack() as stack:
            with _reaching():
                connection = await stack.enter_async_context(self._slow.connect())
                await connection.execution_options(isolation_level="AUTOCOMMIT")
                wanted = select(lock(func.hashtext(f"{CHANNEL} {name}")))
                got = await connection.scalar(wanted)
            yield got

    async def listen(self, hear: Callable[[str], None]) -> None:
        while True:
            try:
                with _reaching():
                    await self._listen(hear)
            except SQLAlchemyError as error:
                log.warning("no signals from other processes for now: %s", error)
            await asyncio.sleep(1)

    async def _listen(self, hear: Callable[[str], None]) -> None:
        """Listen until the connection is lost."""
        lost = asyncio.Event()

        def take(_connection: Any, _pid: int, _channel: str, payload: str) -> None:
            sender, _, said = payload.partition(" ")
            if sender != self._name:
                hear(said)

        async with self._slow.connect() as connection:
            driver: Any = (await connection.get_raw_connection()).driver_connection
            driver.add_termination_listener(lambda _: lost.set())
            await driver.add_listener(CHANNEL, take)
            hear("")  # earlier notifications were missed
            while not await wait_or_timeout(lost, PING):
                await driver.fetchval("SELECT 1", timeout=CONNECT_TIMEOUT)

    async def close(self) -> None:
        await self._engine.dispose()
        await self._slow.dispose()

    async def _patiently(self, run: Callable[[], Awaitable[T]]) -> T:
        """Retry after a temporary error, unless the transaction may have been committed."""
        until = time.monotonic() + self._patience
        while True:
            try:
                with _reaching():
                    return await run()
            except SQLAlchemyError as error:
                if not _passes(error) or time.monotonic() > until:
                    raise
            await asyncio.sleep(RETRY)


def _check_open(connection: Any, _record: Any, _proxy: Any) -> None:
    """Have the pool replace its connections if this one is known to be closed.

    It is not tried, which takes three round trips: a transaction on one that turns out to be dead
    is repeated like any other.
    """
    if connection.driver_connection.is_closed():
        raise InvalidatePoolError


def _passes(error: SQLAlchemyError) -> bool:
    if isinstance(error, Unreachable):
        return True
    if not isinstance(error, DBAPIError):
        return False
    code = code_of(error)
    return error.connection_invalidated or code.startswith("08") or code in _PASSING


@contextmanager
def _reaching() -> Iterator[None]:
    """Raise Unreachable for errors that asyncpg raises while connecting."""
    from asyncpg import InterfaceError, PostgresError  # optional package

    try:
        yield
    except (OSError, PostgresError, InterfaceError) as error:
        raise Unreachable(f"The database cannot be reached: {error}.") from error


@contextmanager
def _committing() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, OSError) as error:
        if isinstance(error, DBAPIError) and not _passes(error):
            raise
        raise InDoubt(f"It is not known whether a transaction was committed: {error}") from error
