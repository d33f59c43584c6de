"""What fails is logged without what it was about: prompts, tokens and secrets stand in no line."""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import SQLAlchemyError

from app.auth.model import EVERYBODY
from app.db.claimed import Claim
from app.db.engine.database import Database, open_database
from app.db.tables import metadata
from app.logs import JsonLines, PlainLines
from app.redis import told
from app.services.submission_request import Submission
from app.settings import Settings
from app.tasks.model import NewTask, Output, SharedGraph, Task
from app.tasks.webhook import Webhook
from app.workflows.requirements import Needs
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import model_free, over, wait_until
from tests.databases import database_url

Json = dict[str, Any]

MARKER = "MARKER"
HERE = ["127.0.0.1"]
SECRET = "whsec_TUFSS0VSTUFSS0VSTUFSS0VSTUFSS0VSTUFSS0VS"


def said(caplog: pytest.LogCaptureFixture) -> str:
    """All of the log, in both of its forms, with all that stands behind the errors in it."""
    forms: list[logging.Formatter] = [PlainLines(), JsonLines()]
    lines = [form.format(record) for record in caplog.records for form in forms]
    causes = [record.exc_info[1] for record in caplog.records if record.exc_info]
    while causes:
        cause = causes.pop()
        if cause is not None:
            lines += [str(cause), repr(cause)]
            causes += [one for one in (cause.__cause__, cause.__context__) if one is not cause]
    return "\n".join([*lines, caplog.text])


def quiet(caplog: pytest.LogCaptureFixture) -> None:
    found = said(caplog)
    assert found.strip(), "nothing was logged at all"
    for word in (MARKER, SECRET):
        assert word not in found, found[max(found.index(word) - 1500, 0) : found.index(word) + 99]


def everywhere() -> Json:
    """A submit with a marker in every field that a client fills."""
    graph = model_free(prefix=f"{MARKER}prefix")
    graph["1"]["_meta"] = {"title": f"{MARKER}title"}
    return {
        "workflow": graph,
        "params": {"3.filename_prefix": f"{MARKER}param"},
        "metadata": {f"{MARKER}name": f"{MARKER}value"},
        "webhook": {
            "url": f"http://127.0.0.1:9/{MARKER}PATHPATHPATHPATH?token={MARKER}token",
            "headers": {"Authorization": f"Bearer {MARKER}bearer"},
            "secret": SECRET,
        },
    }


REFUSE = {  # a table's rows are refused with all that is in them
    "postgresql": ("ALTER TABLE {table} ADD CONSTRAINT no CHECK ({column} IS NULL) NOT VALID",),
    "sqlite": (
        "CREATE TRIGGER no_{table} BEFORE INSERT ON {table} "
        "BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: no'); END",
    ),
}


async def run_all(url: str, *statements: str) -> None:
    database = await open_database(url)
    try:
        for statement in map(text, statements):
            await database.write(partial(Connection.execute, statement=statement))
    finally:
        await database.close()


@pytest.mark.parametrize("table", ["webhooks", "prompts", "tasks"])
async def test_a_submit_that_a_constraint_refuses(
    url: str,
    table: str,
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with over(settings_for, demo, database_url=url, allow_private_urls=HERE) as gateway:
        statements = REFUSE[url.partition(":")[0]]
        await run_all(url, *(one.format(table=table, column="task_id") for one in statements))
        answer = await gateway.http.post("/api/workflow/submit", json=everywhere())
        assert answer.status_code == 503
        assert MARKER not in answer.text
    quiet(caplog)


async def test_results_that_a_constraint_refuses(
    url: str,
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("app.runner.failed_saves.RETRY_INTERVAL", 0.1)
    async with over(settings_for, demo, database_url=url, allow_private_urls=HERE) as gateway:
        statements = REFUSE[url.partition(":")[0]]
        await run_all(url, *(one.format(table="outputs", column="task_id") for one in statements))
        graph = model_free(prefix=f"{MARKER}prefix")
        graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": f"{MARKER}text"}}
        task = await gateway.submit(graph)
        assert task["status"] == "failed"
        assert task["error"]["code"] == "unwritable_result"
    quiet(caplog)


_CUT = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state = 'active' "
    "AND query LIKE 'INSERT INTO webhooks%' AND datname = current_database()"
)


@pytest.mark.service
async def test_connections_that_are_cut(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    """While a statement runs."""
    async with (
        database_url("postgresql", tmp_path) as url,
        over(settings_for, demo, database_url=url, allow_private_urls=HERE) as gateway,
    ):
        await run_all(
            url,
            "CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(5); "
            "RETURN NEW; END $$ LANGUAGE plpgsql",
            "CREATE TRIGGER slow BEFORE INSERT ON webhooks FOR EACH ROW EXECUTE FUNCTION slow()",
        )
        sending = asyncio.create_task(gateway.http.post("/api/workflow/submit", json=everywhere()))
        database = await open_database(url)

        async def cut() -> int:
            return len(await database.write(lambda c: c.execute(_CUT).all()))

        await wait_until(cut)
        await run_all(url, "DROP TRIGGER slow ON webhooks")
        await sending
        await database.close()
        logging.getLogger("app").error("the end of it")
    quiet(caplog)


async def test_any_statement_that_fails(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever is wrong with it: the value's type or form, its length, a key that is taken."""
    log = logging.getLogger("app.test")
    is_sqlite = type(database).__name__ == "Sqlite"
    await database.write(lambda c: c.execute(text("CREATE TABLE odd (id varchar(9) PRIMARY KEY)")))
    keep = text("INSERT INTO odd VALUES (:value)")
    await database.write(lambda c: c.execute(keep, {"value": MARKER}))
    faulty: list[tuple[str, Json]] = [
        ("INSERT INTO odd VALUES (:value)", {"value": MARKER}),
        ("INSERT INTO odd VALUES (:value)", {"value": {MARKER: MARKER}}),
        ("INSERT INTO odd VALUES (:value)", {"value": f"{MARKER}\ud800"}),
        ("INSERT INTO odd VALUES (:value) RETURNING nothing", {"value": MARKER}),
        ("SELECT nothing FROM odd WHERE id = :value", {"value": MARKER}),
    ]
    if not is_sqlite:
        faulty += [
            ("INSERT INTO odd VALUES (:value)", {"value": f"{MARKER}\0"}),
            ("INSERT INTO odd VALUES (:value)", {"value": MARKER * 9}),
            ("SELECT CAST(id AS integer) FROM odd WHERE id = :value", {"value": MARKER}),
            ("SELECT CAST(CAST(:value AS text) AS integer)", {"value": MARKER}),
            ("SELECT CAST(:value AS integer)", {"value": MARKER}),
        ]
    for statement, values in faulty:
        with pytest.raises((SQLAlchemyError, UnicodeError, sqlite3.Error)):
            await execute(database, statement, values, log)
    quiet(caplog)
    assert len(caplog.records) == len(faulty)


async def execute(database: Database, said: str, values: Json, log: logging.Logger) -> None:
    statement = text(said)
    try:
        await database.write(lambda connection: connection.execute(statement, values))
    except Exception:
        log.exception("it failed")
        raise


async def test_values_that_columns_refuse(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    log = logging.getLogger("app.test")
    bad = (f"{MARKER}\0", f"{MARKER}\ud800", MARKER * 20_000_000, {MARKER: MARKER}, [MARKER])
    for table in metadata.sorted_tables:
        for column in table.columns:
            for value in bad:
                try:
                    change = insert(table).values({column.name: value})
                    await database.write(partial(Connection.execute, statement=change))
                except Exception:
                    log.exception("%s", column)
                if len(str(value)) > 10_000:
                    break
    quiet(caplog)


def test_nothing_that_is_printed_by_chance_tells_it(caplog: pytest.LogCaptureFixture) -> None:
    """Of what holds a client's words, `repr` shows none."""
    hook = Webhook(f"http://{MARKER}/", headers={MARKER: MARKER}, secret=MARKER)
    prompt = {"1": {"class_type": MARKER, "inputs": {MARKER: MARKER}}}
    given = {"params": {MARKER: MARKER}, "metadata": {MARKER: MARKER}}
    graph = SharedGraph("id", MARKER)
    new = NewTask("id", prompt, graph, webhooks=(hook,), **given)
    held = Submission(prompt, None, {MARKER: 1}, {MARKER: [1]}, metadata=MARKER, webhook=hook)
    task = Task(
        **dict.fromkeys(Task.__dataclass_fields__)  # type: ignore[arg-type]
        | {"params": {MARKER: MARKER}, "metadata": MARKER, "warnings": (MARKER,)}
        | {"outputs": (Output("1", "text", text=MARKER, error=MARKER),), "webhook": {MARKER: 1}}
    )
    for thing in (hook, new, held, task, Claim(task, prompt, Needs()), EVERYBODY):
        assert MARKER not in repr(thing), type(thing)


def test_what_redis_says_of_a_command_is_left_out() -> None:
    exceptions = services.package("redis.exceptions")
    assert MARKER not in told(exceptions.ResponseError(f"of pipeline (XADD {MARKER}) failed"))
    assert "refused" in told(exceptions.ConnectionError("Connection refused."))


def test_the_marker_would_be_found(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("app.test").error("it failed: %s", MARKER)
    with pytest.raises(AssertionError):
        quiet(caplog)
