"""SQLite's transactions: the short ones on the event loop, which must never wait."""

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from app import container
from app.db.engine.database import Database, open_database, parse_url
from app.db.engine.sqlite import CHECKPOINT_WRITES, PER_TURN, file_of
from app.files.stores.local import LocalStore
from app.files.uploads import UploadFolders
from app.settings import Settings
from tests.conftest import wait_until

ADD = text("INSERT INTO servers (id, url, state) VALUES (:id, :id, 'added')")
COUNT = text("SELECT count(*) FROM servers")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gateway.db"


@pytest.fixture
async def database(file: Path) -> AsyncIterator[Database]:
    found = await open_database(f"sqlite:///{file}")
    yield found
    await found.close()


def adding(name: str) -> Any:
    return lambda connection: connection.execute(ADD, {"id": name}).rowcount


def count(connection: Connection) -> int:
    return int(connection.scalar(COUNT) or 0)


async def test_a_locked_database_does_not_hold_up_the_loop(file: Path, database: Database) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    writing = asyncio.create_task(database.write(adding("a")))
    for _ in range(20):  # the loop turns, and readers see what was there before
        assert await database.read(count) == 0
    assert not writing.done()
    other.execute("COMMIT")
    assert await writing == 1
    assert await database.read(count) == 1
    other.close()


async def test_short_ones_wait_for_a_large_one_and_the_loop_turns(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def large(connection: Connection) -> None:
        connection.execute(ADD, {"id": "large"})
        begun.set()
        go_on.wait(20)

    first = asyncio.create_task(database.write(large, large=True))
    await asyncio.to_thread(begun.wait, 20)
    others = [asyncio.create_task(database.write(adding(str(n)))) for n in range(5)]
    for _ in range(20):
        assert await database.read(count) == 0
    assert not any(task.done() for task in [first, *others])
    go_on.set()
    await asyncio.gather(first, *others)
    assert await database.read(count) == 6


async def test_a_large_one_comes_to_its_end_though_its_caller_is_gone(database: Database) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def large(connection: Connection) -> None:
        begun.set()
        go_on.wait(20)
        connection.execute(ADD, {"id": "large"})

    task = asyncio.create_task(database.write(large, large=True))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    go_on.set()
    await database.write(adding("next"))
    assert await database.read(count) == 2


@pytest.mark.parametrize("large", [False, True])
async def test_one_that_fails_leaves_nothing(database: Database, large: bool) -> None:
    def failing(connection: Connection) -> None:
        connection.execute(ADD, {"id": "a"})
        raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        await database.write(failing, large=large)
    assert await database.read(count) == 0
    assert await database.write(adding("a"), large=large) == 1


async def test_one_of_many_lets_others_in(database: Database) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    for _ in range(50):
        await database.read(count)
    task.cancel()
    assert turns >= 50 // PER_TURN


async def test_what_was_written_moves_into_the_main_file(file: Path, database: Database) -> None:
    wal, numbers = file.with_name(f"{file.name}-wal"), itertools.count()

    async def is_written_anew() -> bool:
        before = wal.stat().st_size
        for _ in range(20):
            await database.write(adding(str(next(numbers))))
        return wal.stat().st_size == before

    assert not await is_written_anew()
    for _ in range(CHECKPOINT_WRITES):
        await database.write(adding(str(next(numbers))))
    await wait_until(is_written_anew)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("sqlite:///file::memory:?uri=true", None),
        ("sqlite:///file:mem?mode=memory&uri=true", None),
        ("sqlite:///file:mem?mode=memory&cache=shared&uri=true", None),
        ("sqlite:///gateway.db", "gateway.db"),
        ("sqlite:///:gateway.db", ":gateway.db"),
        ("sqlite:////a/gateway.db", "/a/gateway.db"),
        ("sqlite:///file:a/gateway.db?uri=true", "a/gateway.db"),
        ("sqlite:///file:///a/gateway.db?uri=true", "/a/gateway.db"),
        ("sqlite:///file:gateway.db?mode=rwc&uri=true", "gateway.db"),
        ("sqlite:///file:gateway.db", "file:gateway.db"),
    ],
)
@pytest.mark.filterwarnings("ignore:Selection of the SingletonThreadPool")
async def test_where_a_database_is(
    url: str, name: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which file it is, as SQLite sees it; only there room is looked for."""
    assert file_of(parse_url(url)) == (None if name is None else Path(name))
    if name is None or not name.startswith("/"):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "a").mkdir()
        await (await open_database(url)).close()
        made = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert made == ([] if name is None else [tmp_path / name])


def test_no_room_is_looked_for_where_the_database_is_in_memory(tmp_path: Path) -> None:
    for url, checked in (
        ("sqlite:///file::memory:?uri=true", False),
        ("sqlite:///file:mem?mode=memory&uri=true", False),
        (f"sqlite:///{tmp_path}/a.db", True),
    ):
        settings = Settings(workflows_dir=tmp_path, database_url=url, _env_file=None)  # type: ignore[call-arg, arg-type]
        store = LocalStore(tmp_path)
        found = container._writable_stores(settings, store, UploadFolders(store, max_bytes=1))
        assert ("database" in found._checks) == checked, url
