"""Requirement sets: learnt late, forgotten early, and never too many for a statement."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy.ext.asyncio import create_async_engine

from app.auth.model import EVERYBODY
from app.db import requirements
from app.db.cleanup import Tidying
from app.db.engine.database import Database, open_database
from app.db.engine.list_parameters import MAX_LIST_ROWS
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.requirements import Requirements, RequirementsCache
from app.db.tables import routes as rows
from app.db.tables import tasks
from app.db.tasks import TaskRepository, TaskTable
from app.settings import Settings
from app.tasks.model import Assignment, NewTask
from app.workflows.requirements import Needs, requirements_of
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import model_free, over, run_gateway, wait_until
from tests.databases import postgresql
from tests.keyholders import write_keys
from tests.multiply import MANY, multiply

SettingsFor = Callable[..., Settings]
Json = dict[str, Any]


def new(*classes: str, **fields: Any) -> NewTask:
    prompt = {"1": {"class_type": "A", "inputs": {}}}
    return NewTask(
        str(uuid4()), prompt, requirements=requirements_of(Needs(frozenset(classes))), **fields
    )


def impossible(number: int) -> str:
    return f"Impossible{number}"


async def fill(database: Database, count: int) -> None:
    """Queue tasks that no server can run, each of a route of its own."""
    await TaskRepository(TaskTable(database), EVERYBODY).add([new(impossible(0))])
    await multiply(database, count, needs=True)


async def count(database: Database) -> int:
    query = select(func.count()).select_from(rows)
    return await database.read(lambda connection: connection.scalar(query) or 0)


async def test_a_task_behind_many_that_no_server_can_run(
    url: str, demo: DemoServer, settings_for: SettingsFor
) -> None:
    database, many = await open_database(url), MANY[url.partition(":")[0]]
    await fill(database, many)
    await database.close()
    async with over(settings_for, demo, database_url=url, max_queued=many + 100) as gateway:
        for color in range(3):
            task = await gateway.submit(model_free(color), wait=60)
            assert task["status"] == "succeeded", task["waiting_for"]
        new_kind = {**model_free(9), "9": {"class_type": "NotThere", "inputs": {}}}
        await gateway.submit(new_kind, wait=0, wait_for_server=True)
        assert (await gateway.submit(model_free(4), wait=60))["status"] == "succeeded"
        assert len(gateway.gateway.dispatcher._waits._able) >= many, "they were in its way"


async def test_what_was_refused_teaches_nothing(
    url: str, demo: DemoServer, settings_for: SettingsFor, tmp_path: Path
) -> None:
    keys = write_keys(tmp_path / "keys.json", bad={"scope": "run", "queued": 10}, good="run")
    settings = settings_for(demo.address, database_url=url, api_keys=str(tmp_path / "keys.json"))
    async with run_gateway(settings) as gateway:
        await gateway.online()
        http, headers = gateway.http, {"X-API-Key": keys["bad"]}
        loader = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}}
        for part in range(3):
            names = [f"nothing-{part}-{number}.safetensors" for number in range(1000)]
            body = {
                "workflow": {**model_free(), "9": loader},
                "wait_for_server": True,
                "batch": {"9.ckpt_name": names},
            }
            answer = await http.post("/api/workflow/submit", json=body, headers=headers)
            assert answer.status_code == 429, answer.text
        dispatcher = gateway.gateway.dispatcher
        assert len(dispatcher._queue.requirements._known) == 0
        assert dispatcher._waits._able == {}
        ours = await http.post(
            "/api/workflow/submit?wait=60", json=model_free(), headers={"X-API-Key": keys["good"]}
        )
        assert ours.json()["status"] == "succeeded"


async def test_a_claim_sees_what_waits_behind_those_it_passes_over(database: Database) -> None:
    await fill(database, 2 * MAX_LIST_ROWS)
    (wanted,) = await TaskRepository(TaskTable(database), EVERYBODY).add([new("Possible")])
    queue = Queue(database, Lease("me", 60))
    waiting = await queue.waiting_requirements()
    meaning = await queue.read_requirements(waiting)
    assert len(meaning) == 2 * MAX_LIST_ROWS + 2
    passed = [name for name, route in meaning.items() if "Possible" not in route.needs.classes]
    claims, _ = await queue.assign(
        lambda held: (passed, lambda head: [Assignment(task.seq, "s") for task in head])
    )
    assert [claim.task.task_id for claim in claims] == [wanted.task_id]


async def test_it_remembers_routes_within_a_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requirements, "MAX_CACHE_CHARACTERS", 20 * requirements.OVERHEAD_CHARACTERS)
    await fill(database, 200)
    known = RequirementsCache()
    for number in range(200):
        known.know(str(number), Needs(frozenset([impossible(number)])), None)
    assert 0 < len(known._known) <= 20
    wanted = await Queue(database, Lease("me", 60)).waiting_requirements()
    found = await database.read(lambda connection: known.read(connection, wanted))
    assert len(found) == 201
    assert {name for route in found.values() for name in route.needs.classes} == {
        impossible(number) for number in range(201)
    }
    assert len(known._known) <= 20
    known.know("large", Needs(frozenset(["x" * 20 * requirements.OVERHEAD_CHARACTERS])), None)
    assert known.get("large") is None


async def test_a_task_whose_route_is_lost_does_not_stop_the_others(database: Database) -> None:
    (lost,) = await TaskRepository(TaskTable(database), EVERYBODY).add([new("A")])
    await database.write(lambda connection: connection.execute(rows.delete()))
    queue = Queue(database, Lease("me", 60))
    assert await queue.read_requirements([lost.requirements_id]) == {
        lost.requirements_id: Requirements(Needs(), None)
    }
    claims, _ = await queue.assign(
        lambda held: ((), lambda head: [Assignment(task.seq, "s") for task in head])
    )
    assert [claim.task.task_id for claim in claims] == [lost.task_id]


async def test_rows_that_no_unfinished_task_has_go(database: Database) -> None:
    await fill(database, 2 * MAX_LIST_ROWS + 50)
    store = TaskRepository(TaskTable(database), EVERYBODY)
    kept, gone = await store.add([new("Kept"), new("Gone")])
    await store.request_cancel(gone.task_id)
    others = tasks.c.task_id.not_in([kept.task_id, gone.task_id])
    ended = update(tasks).where(others).values(status="canceled", finished_at=1.0)
    await database.write(lambda connection: connection.execute(ended))
    assert await count(database) == 2 * MAX_LIST_ROWS + 53
    await Tidying(database).tidy()
    found = await database.read(lambda connection: list(connection.scalars(select(rows.c.needs))))
    assert found == [json.dumps([["Kept"], []], separators=(",", ":"))]
    await store.add([new("Gone")])
    assert await count(database) == 2


@pytest.mark.service
async def test_no_row_goes_that_a_task_is_about_to_have() -> None:
    async with postgresql() as url:
        await (await open_database(url)).close()
        engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg", 1))
        task, row = new("A"), {}

        def known(connection: Connection) -> None:
            requirements.hold(connection, [task.requirements])

        async with engine.connect() as submit, engine.connect() as tidy:
            for is_new in (True, False):
                await submit.run_sync(known)
                assert await tidy.run_sync(requirements.forget_unused) == 0, (
                    f"{is_new=}: it is held"
                )
                await tidy.commit()
                await submit.commit()
                row = dict((await submit.execute(select(rows))).mappings().one())
                await submit.commit()
            assert await tidy.run_sync(requirements.forget_unused) == 1
            # It is going; whoever adds a task waits for that, and writes it anew.
            waiting = asyncio.ensure_future(submit.run_sync(known))
            await wait_until(lambda: waits_for_a_lock(url))
            await tidy.commit()
            await waiting
            await submit.commit()
            assert dict((await tidy.execute(select(rows))).mappings().one()) == row
        await engine.dispose()


async def waits_for_a_lock(url: str) -> bool:
    connection = await services.package("asyncpg").connect(url)
    try:
        found = await connection.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
        return bool(found)
    finally:
        await connection.close()
