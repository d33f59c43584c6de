"""The schema of the database, from nothing and from any version before, on both databases."""

import asyncio
import importlib.util
import json
import re
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, inspect, select, text

from app.auth.model import EVERYBODY
from app.db import schema
from app.db.engine.database import Database, open_database
from app.db.lease import Lease
from app.db.mapping import new_row
from app.db.queue import Queue
from app.db.schema import FOLDER, NEWEST_REVISION, alembic_config, migrate
from app.db.tables import metadata, tasks
from app.db.task_filters import Selection
from app.db.tasks import TaskRepository, TaskTable
from app.errors import InvalidInput
from app.tasks.model import Assignment, NewTask
from app.tasks.view import task_view
from app.workflows.requirements import needs_of
from tests.conftest import ROOT, model_free
from tests.databases import database_url

STARTS = "import asyncio, sys; from app.db.engine.database import open_database as open_; "
STARTS += "asyncio.run(open_(sys.argv[1]))"

# What the inspector does not tell, or not in full. An index that SQLite makes itself has no SQL.
OBJECTS = {
    "sqlite": {
        "all but tables": "SELECT sql FROM sqlite_master WHERE type != 'table' AND sql IS NOT NULL",
        "counted": "SELECT name FROM sqlite_master WHERE type = 'table'",  # sqlite_sequence, too
    },
    "postgresql": {
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
        "constraints": "SELECT concat_ws(' ', conrelid::regclass, conname,"
        " pg_get_constraintdef(oid)) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace",
        "triggers": "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
        "relations": "SELECT concat_ws(' ', relname, relkind, relpersistence) FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace",
        "sequences": "SELECT concat_ws(' ', sequencename, data_type, start_value, max_value, cycle)"
        " FROM pg_sequences",
        "functions": "SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace",
        "collations": "SELECT concat_ws(' ', attrelid::regclass, attname,"
        " attcollation::regcollation) FROM pg_attribute JOIN pg_class ON attrelid = pg_class.oid"
        " WHERE relnamespace = 'public'::regnamespace AND attcollation != 0",
    },
}


async def opened(url: str, monkeypatch: pytest.MonkeyPatch, work: Any = None) -> Database:
    """A database in which only `work` was done."""
    with monkeypatch.context() as patch:
        patch.setattr("app.db.engine.database.is_current", lambda connection: False)
        patch.setattr("app.db.engine.database.bring_up", work or (lambda connection: None))
        return await open_database(url)


def first_schema() -> MetaData:
    (path,) = (FOLDER / "versions").glob("0001_*.py")
    spec = importlib.util.spec_from_file_location("first", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.FIRST  # type: ignore[no-any-return]


def described(connection: Connection) -> dict[str, Any]:
    """All there is, but for the order of columns: an added one is the last."""
    inspector = inspect(connection)
    found: dict[str, Any] = {
        table: {
            "columns": {c["name"]: {**c, "type": str(c["type"])} for c in columns},
            "key": inspector.get_pk_constraint(table),
            "foreign": inspector.get_foreign_keys(table),
            "unique": inspector.get_unique_constraints(table),
            "checks": inspector.get_check_constraints(table),
            "rows": connection.scalar(text(f"SELECT count(*) FROM {table}")),
        }
        for (_, table), columns in inspector.get_multi_columns().items()
    }
    found["version"] = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    for what, query in OBJECTS[connection.dialect.name].items():
        found[what] = sorted(re.sub(r"\s+", " ", said) for said in connection.scalars(text(query)))
    return found


async def test_migrations_end_at_what_the_tables_say(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty database is made from the tables, without migrations: nobody may tell them apart.

    If this fails, app/db/tables.py was changed: `scripts/migration "what changed"`.
    """
    migrated = await opened(url, monkeypatch, migrate)

    def differences(connection: Connection) -> Any:
        return compare_metadata(MigrationContext.configure(connection), metadata)

    assert await migrated.read(differences) == []
    by_steps = await migrated.read(described)
    await migrated.close()
    kind = "sqlite" if url.startswith("sqlite") else "postgresql"
    async with database_url(kind, tmp_path / "other") as other:
        made = await open_database(other)
        at_once = await made.read(described)
        assert at_once["version"] == [NEWEST_REVISION]
        assert at_once == by_steps
        await made.close()


@pytest.mark.parametrize("state", ["empty", "current", "with tables of others"])
async def test_what_needs_no_migration_does_without_alembic(
    url: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "current":
        await (await open_database(url)).close()
    if state == "with tables of others":
        other = text("CREATE TABLE others (a INTEGER)")
        await (await opened(url, monkeypatch, lambda connection: connection.execute(other))).close()
    said = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", f"{STARTS}; print('alembic' in sys.modules)", url),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert await said.communicate() == (b"False\n", None)
    database = await open_database(url)
    assert await database.read(schema.is_current)
    await database.close()


@pytest.mark.parametrize("missing", ["alembic_version", "tasks"])
async def test_what_is_not_empty_is_not_made_anew(
    url: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever table is left: tables without a version are those of the first schema."""
    before = await opened(url, monkeypatch, lambda connection: migrate(connection, "0001"))
    cascade = "" if url.startswith("sqlite") else " CASCADE"
    drop = text(f"DROP TABLE {missing}{cascade}")
    await before.write(lambda connection: connection.execute(drop))
    await before.close()
    called: list[Connection] = []
    monkeypatch.setattr(schema, "migrate", called.append)
    await (await open_database(url)).close()
    assert called


async def test_a_database_from_before_migrations_is_adopted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await opened(url, monkeypatch, first_schema().create_all)
    row = "INSERT INTO routes (route, needs) VALUES ('a', 'kept')"
    await before.write(lambda connection: connection.execute(text(row)))
    await before.close()
    database = await open_database(url)
    kept = text("SELECT needs FROM routes")
    assert await database.read(lambda connection: connection.scalar(kept)) == "kept"
    assert await database.read(schema.is_current)
    await database.read(lambda connection: connection.execute(select(tasks)))
    await database.close()


async def test_a_task_of_before_runs(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queued by the first version, whole, with parameters of any length."""
    first = first_schema()
    before = await opened(url, monkeypatch, first.create_all)
    task_id, params = str(uuid4()), {"1.color": 7, "6.text": "x" * 100_000}
    row = {
        **new_row(NewTask(task_id, model_free(7)), 1.0),
        "params": json.dumps(params),
        "route": "r",
        "shape": "s",
    }
    rows: dict[str, Any] = {
        "tasks": {name: row[name] for name in first.tables["tasks"].columns.keys() & row.keys()},
        "prompts": {"task_id": task_id, "prompt": json.dumps(model_free(7))},
        "routes": {"route": "r", "needs": needs_of(model_free()).dump()},
    }
    for name, values in rows.items():
        statement = first.tables[name].insert().values(**values)
        await before.write(lambda connection, s=statement: connection.execute(s))
    await before.close()
    database = await open_database(url)
    found, _ = await Queue(database, Lease("me", 60)).assign(
        lambda held: ((), lambda waiting: [Assignment(task.seq, "s") for task in waiting])
    )
    assert [claim.prompt for claim in found] == [model_free(7)]
    store = TaskRepository(TaskTable(database), EVERYBODY)
    assert await store.prompt(task_id) == model_free(7)
    assert (await store.get(task_id)).params == params
    (shown,) = [task_view(task) for task in await store.page(Selection(text="XXX"))]
    assert shown["cut"] == {"params.6.text": 100_000}
    await database.close()


async def test_what_is_older_is_refused_by_name(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = await opened(url, monkeypatch, first_schema().create_all)
    await before.write(lambda c: c.execute(text("ALTER TABLE outputs DROP COLUMN text")))
    await before.close()
    with pytest.raises(InvalidInput, match=r"lacks outputs\.text"):
        await open_database(url)


# Alembic would know none; the second is less than ours, as those of other programs may be
UNKNOWN = ["9999", "0003x"]


@pytest.mark.parametrize("version", UNKNOWN)
async def test_an_unknown_one_that_lacks_what_this_version_uses_is_refused(
    url: str, version: str
) -> None:
    """As after a contraction, two releases on; or another program's, which uses Alembic as well."""
    database = await open_database(url)
    changes = (f"UPDATE alembic_version SET version_num = '{version}'", "DROP TABLE runners")
    for change in (*changes, "ALTER TABLE tasks DROP COLUMN client_id"):
        await database.write(lambda connection, sql=change: connection.execute(text(sql)))
    await database.close()
    lacks = rf"of version {version}, .* lacks runners\.alone, .*, tasks\.client_id\."
    with pytest.raises(InvalidInput, match=lacks):
        await open_database(url)


@pytest.mark.parametrize("version", UNKNOWN)
async def test_an_unknown_one_is_used_as_it_is(url: str, version: str) -> None:
    database = await open_database(url)
    newer = f"UPDATE alembic_version SET version_num = '{version}'"
    await database.write(lambda connection: connection.execute(text(newer)))
    await database.close()
    again = await open_database(url)
    found = text("SELECT version_num FROM alembic_version")
    assert await again.read(lambda connection: connection.scalar(found)) == version
    await again.close()


@pytest.mark.parametrize("state", ["empty", "old"])
async def test_processes_that_start_at_once(
    url: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if state == "old":
        await (await opened(url, monkeypatch, first_schema().create_all)).close()
    starting = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-c", STARTS, url, cwd=ROOT, stderr=asyncio.subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in starting:
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()
    database = await open_database(url)
    assert await database.read(schema.is_current)
    await database.close()


def test_versions_are_one_line() -> None:
    found = ScriptDirectory.from_config(alembic_config(None))  # type: ignore[arg-type]
    assert found.get_heads() == [NEWEST_REVISION]
    assert [script.revision for script in found.walk_revisions()] == [
        f"{number:04}" for number in range(int(NEWEST_REVISION), 0, -1)
    ]


def test_old_replicas_can_write_beside_new_ones() -> None:
    """What was there stays, and what was added may be left out: CONTRIBUTING.md, Migrations."""
    first = first_schema()
    for table in first.sorted_tables:
        now = metadata.tables[table.name]
        assert set(table.columns.keys()) <= set(now.columns.keys()), table.name
        for name in set(now.columns.keys()) - set(table.columns.keys()):
            column = now.columns[name]
            assert column.nullable or column.server_default is not None, f"{table.name}.{name}"
