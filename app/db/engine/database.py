"""Transactions on SQLite and PostgreSQL with one interface.

A transaction is a function of a connection. On SQLite it runs as a whole, in the event loop or in a
thread; an asynchronous driver would switch to a thread for each statement. On PostgreSQL it runs in
the event loop with asyncpg. In both cases a cancelled caller leaves nothing half done.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from app.db.engine.errors import code_of
from app.db.engine.postgresql import RECONNECT_TIMEOUT, Postgresql
from app.db.engine.sqlite import Sqlite, T, Work, file_of
from app.db.engine.statement import Statement
from app.db.schema import bring_up, is_current
from app.errors import InvalidInput

_HINT = "Write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME."
FEW_ROWS = 10  # rows; a transaction on more is large


def is_sqlite(database_url: str) -> bool:
    return make_url(database_url).get_backend_name() == "sqlite"


class Database(Protocol):
    """`read` and `write` run a function in a transaction and return its result.

    `large`: the function processes more than a few rows.
    """

    async def read(self, work: Work[T], *, large: bool = False) -> T: ...

    async def write(self, work: Work[T], *, large: bool = False) -> T: ...

    def remember(self, **facts: Any) -> None:
        """Set execution options of the engines, which transactions read."""
        ...

    def alone(self, name: str) -> AbstractAsyncContextManager[bool]:
        """Yield True if no other process holds this name, and hold it."""
        ...

    def locked(self, name: str) -> AbstractAsyncContextManager[object]:
        """Hold this name exclusively, waiting for other holders."""
        ...

    async def listen(self, hear: Callable[[str], None]) -> None:
        """Call `hear` with notifications of other processes until cancelled (see notify.py).

        It is called with "" whenever some may have been missed.
        """
        ...

    async def close(self) -> None: ...


def parse_url(database_url: str) -> URL:
    """Parse sqlite:///FILE or postgresql://... Raises InvalidInput for unusable URLs."""
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise InvalidInput("This is not the URL of a database.", hint=_HINT) from error
    if url.get_backend_name() not in ("sqlite", "postgresql"):
        raise InvalidInput(f"{url.get_backend_name()} is not supported.", hint=_HINT)
    if url.get_backend_name() == "sqlite" and url.host:
        raise InvalidInput("The URL of an SQLite database has three slashes.", hint=_HINT)
    if url.get_backend_name() == "postgresql" and find_spec("asyncpg") is None:
        raise InvalidInput("PostgreSQL needs the package asyncpg.", hint="pip install asyncpg")
    return url


def database_file(database_url: str) -> Path | None:
    """The file of an SQLite database; None for one in memory, and for PostgreSQL."""
    url = parse_url(database_url)
    return file_of(url) if url.get_backend_name() == "sqlite" else None


def damage(error: Exception, database_url: str) -> str | None:
    """Return what to tell an operator whose SQLite file is none, or not whole; else None."""
    file = database_file(database_url)
    if file is None or not code_of(error).startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return None
    return (
        f"{str(file.absolute())!r} is no SQLite database, or it is damaged. Put a backup in its "
        "place, or name another file."
    )


def identity_of(database_url: str) -> str:
    """Return an id of the database, equal for all its processes; it does not reveal its address."""
    file = database_file(database_url)
    url = parse_url(database_url).render_as_string(hide_password=True)
    return sha256((str(file.resolve()) if file else url).encode()).hexdigest()[:12]


async def open_database(database_url: str, *, patience: float = RECONNECT_TIMEOUT) -> Database:
    """Connect and upgrade the schema.

    `patience`: seconds to wait for an unreachable server. Raises InvalidInput, and Unreachable
    after that time.
    """
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


@cache
def insert_if_new(dialect: str, table: Table) -> Statement:
    """Return an INSERT that skips rows whose key exists."""
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return Statement(insert(table).on_conflict_do_nothing())
