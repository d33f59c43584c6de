"""How often a transaction asks PostgreSQL."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, select, text

from app.db.engine.database import open_database
from app.db.tables import tasks
from tests import services
from tests.conftest import wait_until
from tests.databases import database_url

pytestmark = pytest.mark.service


@pytest.fixture
async def postgresql(tmp_path: Path) -> AsyncIterator[str]:
    async with database_url("postgresql", tmp_path) as url:
        yield url


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was sent to the server: statements, and what begins and ends transactions."""
    services.package("asyncpg")
    from asyncpg.connection import Connection as Driver
    from asyncpg.prepared_stmt import PreparedStatement

    found: list[str] = []

    def noted(owner: Any, name: str, word: Any) -> None:
        real = getattr(owner, name)

        async def wrapped(self: Any, *args: Any, **options: Any) -> Any:
            found.append(word(self, *args))
            return await real(self, *args, **options)

        monkeypatch.setattr(owner, name, wrapped)

    noted(Driver, "execute", lambda _, query, *__: query.partition(";")[0].split()[0])
    noted(Driver, "fetchrow", lambda _, query, *__: query)
    noted(PreparedStatement, "fetch", lambda one, *_: one.get_query().split()[0])
    return found


@contextmanager
def only(asked: list[str], *wanted: str) -> Iterator[None]:
    asked.clear()
    yield
    assert asked == list(wanted)


async def test_a_transaction_asks_no_more_than_it_must(postgresql: str, asked: list[str]) -> None:
    database = await open_database(postgresql)

    def read(connection: Connection) -> None:
        connection.execute(select(tasks.c.seq)).all()

    def written(connection: Connection) -> None:
        connection.execute(text("DELETE FROM tasks"))

    for work in (database.read, database.write):
        await work(read)
    with only(asked, "SELECT"):
        await database.read(read)
    with only(asked, "BEGIN", "DELETE", "COMMIT"):
        await database.write(written)
    with only(asked, "SELECT"):
        await database.read(read)
    await database.close()


async def test_connections_that_were_cut_are_replaced_before_they_are_used(
    postgresql: str, asked: list[str]
) -> None:
    database, driver = await open_database(postgresql), services.package("asyncpg")

    drivers: set[Any] = set()

    def read(connection: Connection) -> int | None:
        drivers.add(connection.connection.driver_connection)
        return connection.scalar(select(func.pg_backend_pid()))

    before = {await database.write(read) for _ in range(3)}
    server = await driver.connect(postgresql)
    for pid in before:
        await server.execute(f"SELECT pg_terminate_backend({pid}, 5000)")
    await server.close()
    await wait_until(lambda: all(one.is_closed() for one in drivers))
    with only(asked, "BEGIN", "SELECT", "COMMIT"):  # none of these a second time
        assert await database.write(read) not in before
    await database.close()
