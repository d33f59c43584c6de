"""Statements that are compiled once do what `Connection.execute` does, on both databases."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, func, insert, literal, select
from sqlalchemy import update as update_of
from sqlalchemy.exc import IntegrityError

from app.db.engine.columns import Unstorable
from app.db.engine.database import Database, insert_if_new
from app.db.engine.list_parameters import any_of
from app.db.engine.statement import Statement
from app.db.tables import servers
from tests.databases import KINDS
from tests.statements import statements

SECRET = "the-secret-of-a-row"
ADD = Statement(insert(servers))
ADD_AND_TELL = Statement(insert(servers).returning(servers.c.id, servers.c.slots))
SET = Statement(update_of(servers).where(any_of(servers.c.id, "ids")))
CUT = Statement(select(func.pg_terminate_backend(func.pg_backend_pid())))
FIND = Statement(
    select(
        servers.c.id,
        servers.c.slots.is_not(None).label("limited"),
        func.coalesce(servers.c.slots, literal(7)),
    )
    .where(any_of(servers.c.id, "ids"), servers.c.state == bindparam("state"))
    .order_by(servers.c.id)
)


def row(id_: Any, slots: Any = None) -> dict[str, Any]:
    return {"id": id_, "url": SECRET, "state": "added", "slots": slots}


def count(connection: Connection) -> int:
    return connection.scalar(select(func.count()).select_from(servers)) or 0


async def test_rows_have_names_and_the_types_of_their_columns(database: Database) -> None:
    for made in ([row("a", 3)], [row("b"), row("c")]):  # one at a time, and many
        added = await database.write(lambda c, made=made: ADD_AND_TELL.each(c, made))
        assert [(one.id, one.slots) for one in added] == [(one["id"], one["slots"]) for one in made]
    values = {"ids": ["a", "b", "nobody"], "state": "added"}
    for _ in range(2):
        found = await database.read(lambda c: FIND.rows(c, values))
        assert [tuple(one) for one in found] == [("a", True, 3), ("b", False, 7)]
        assert found[0].limited is True
    assert not await database.read(lambda c: FIND.rows(c, {**values, "state": "gone"}))


async def test_the_names_of_values_are_the_columns_that_are_set(database: Database) -> None:
    await database.write(lambda c: ADD.each(c, [row("a", 1), row("b", 2), row("c", 3)]))
    assert await database.write(lambda c: SET.count(c, {"ids": ["a", "b"], "slots": 9})) == 2
    both = {"ids": ["a", "b"], "state": "paused", "slots": None}
    assert await database.write(lambda c: SET.count(c, both)) == 2
    query = select(servers.c.slots, servers.c.state).order_by(servers.c.id)
    found = await database.read(lambda c: c.execute(query).all())
    assert [tuple(one) for one in found] == [(None, "paused"), (None, "paused"), (3, "added")]


async def test_it_is_compiled_once(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    statement, compiled = Statement(insert(servers)), list[object]()
    compile_it = type(statement.statement).compile

    def counted(self: Any, **options: Any) -> Any:
        compiled.append(self)
        return compile_it(self, **options)

    monkeypatch.setattr(type(statement.statement), "compile", counted)
    for name in "abc":
        await database.write(lambda c, name=name: statement.count(c, row(name)))
    assert len(compiled) == 1


@pytest.mark.parametrize("wrong", [row("a" * 9999), row("nul\0"), row("a", "7"), row("a", 1 << 40)])
async def test_what_cannot_be_stored_is_refused(database: Database, wrong: dict[str, Any]) -> None:
    told = []
    for how in (lambda c: ADD.count(c, wrong), lambda c: c.execute(insert(servers), wrong)):
        with pytest.raises(Unstorable) as refused:
            await database.write(how)
        told.append(refused.value.detail)
    assert told[0] == told[1]
    assert await database.read(count) == 0


async def test_errors_are_the_same_and_tell_no_values(database: Database) -> None:
    def twice(add: Callable[[Connection], Any]) -> Callable[[Connection], None]:
        def work(connection: Connection) -> None:
            ADD.count(connection, row("before"))
            add(connection)
            add(connection)

        return work

    told = []
    for add in (lambda c: ADD.count(c, row("a")), lambda c: c.execute(insert(servers), row("a"))):
        with pytest.raises(IntegrityError) as failed:
            await database.write(twice(add))
        told.append((str(failed.value), str(failed.value.orig), failed.value.code))
        assert SECRET not in repr(failed.getrepr(style="long", showlocals=False))
        assert SECRET not in "".join(told[-1][:2])
        assert await database.read(count) == 0, "all of it is taken back"
    assert told[0] == told[1]
    await database.write(lambda c: ADD.count(c, row("a")))  # the connection is of use still


async def test_listeners_see_it(database: Database) -> None:
    with statements() as heard:
        await database.write(lambda c: ADD_AND_TELL.rows(c, row("a", 5)))
    ((said, values),) = heard
    assert said.split()[0] == "INSERT"
    assert sorted(map(str, values)) == ["5", "a", "added", SECRET]


async def test_rows_whose_key_exists_are_skipped(database: Database) -> None:
    def add(connection: Connection) -> int:
        return insert_if_new(connection.dialect.name, servers).count(connection, row("a"))

    assert [await database.write(add), await database.write(add)] == [1, 0]


@pytest.mark.parametrize("url", KINDS[1:], indirect=True)
async def test_a_connection_that_was_cut_is_replaced(database: Database) -> None:
    tries = list[int]()

    def work(connection: Connection) -> int:
        tries.append(1)
        if len(tries) == 1:
            CUT.rows(connection)
        return ADD.count(connection, row(str(len(tries))))

    assert await database.write(work) == 1
    assert len(tries) == 2
    assert await database.read(count) == 1
