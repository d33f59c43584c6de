"""Transactions on SQLite and PostgreSQL behind one pair of methods.

A transaction is a plain function of a connection. On SQLite the whole of it runs in one go, here
or in a thread, where an asynchronous driver makes a hop to a thread for each statement. On
PostgreSQL it runs on the event loop over asyncpg. Either way a cancelled caller leaves nothing
half done.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import Any, Protocol

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.db.engine.postgresql import RECONNECT_TIMEOUT, Postgresql
from app.db.engine.sqlite import Sqlite, T, Work
from app.db.schema import bring_up, is_current
from app.errors import InvalidInput

_HINT = "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
FEW_ROWS = 10  # rows; what touches more is large


def is_sqlite(database_url: str) -> bool:
    return make_url(database_url).get_backend_name() == "sqlite"


class Database(Protocol):
    """`read` and `write` run a function in a transaction and answer what it returns. `large`: it
    touches more than a few rows."""

    async def read(self, work: Work[T], *, large: bool = False) -> T: ...

    async def write(self, work: Work[T], *, large: bool = False) -> T: ...

    def remember(self, **facts: Any) -> None:
        """Of this process: options of the engines that every connection's `engine` has."""
        ...

    def alone(self, name: str) -> AbstractAsyncContextManager[bool]:
        """True if no other process does what has this name, and none will meanwhile."""
        ...

    def locked(self, name: str) -> AbstractAsyncContextManager[object]:
        """Waits for whoever does what has this name."""
        ...

    async def listen(self, hear: Callable[[str], None]) -> None:
        """Call it with what other processes tell, until cancelled (see notify.py); and with ""
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


async def open_database(database_url: str, *, patience: float = RECONNECT_TIMEOUT) -> Database:
    """Connect, and bring the schema up. `patience`: seconds to wait for a server that does not
    answer. Raises InvalidInput, and Unreachable after that."""
    url = parse_url(database_url)
    database: Sqlite | Postgresql
    if url.get_backend_name() == "sqlite":
        database = Sqlite(url.set(drivername="sqlite"))
    else:
        database = Postgresql(url.set(drivername="postgresql+asyncpg"), patience)
    try:
        if not await database.read(is_current):
            await database.write(bring_up, slow=True)
    except BaseException:
        await database.close()
        raise
    return database


def insert_if_new(connection: Connection, table: Table) -> Insert:
    """An INSERT that leaves rows alone whose key is there already."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    return postgresql.insert(table).on_conflict_do_nothing()
