"""What is done to any number of tasks at once: in batches, while others are served."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import websockets
from sqlalchemy import func, select

from app.auth.model import EVERYBODY, STRANGER, AccessLevel, Caller
from app.db.engine.database import Database
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of, none_of, parts_of, task_ids
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.tables import outputs, prompts, tasks
from app.db.tasks import TaskRepository, TaskTable
from app.errors import TaskNotFound
from app.settings import Settings
from app.tasks.model import MOST_LISTED, NewTask
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over
from tests.multiply import MANY, multiply
from tests.rows_read import rows_read
from tests.statements import none_too_large

SettingsFor = Callable[..., Settings]
Json = dict[str, Any]


async def counted(database: Database) -> list[int]:
    queries = [select(func.count()).select_from(table) for table in (tasks, prompts, outputs)]
    return await database.read(lambda c: [c.scalar(query) or 0 for query in queries], large=True)


@contextlib.asynccontextmanager
async def polling(gateway: RunningGateway) -> AsyncIterator[None]:
    """Somebody else asks all the while, and is answered before the work is done."""
    answers: list[int] = []

    async def poll() -> None:
        while True:
            answers.append((await gateway.http.get("/api/tasks?limit=1")).status_code)
            await asyncio.sleep(0.02)  # a client that asks as fast as it can slows all down

    asking = asyncio.create_task(poll())
    try:
        yield
    finally:
        asking.cancel()
        await asyncio.wait([asking])
    assert len(answers) > 3
    assert set(answers) == {200}


async def test_all_of_the_history_goes(
    url: str, demo: DemoServer, settings_for: SettingsFor
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        task = await gateway.submit(model_free())
        database, files = await gateway.database(), gateway.gateway.files
        folder = Path(gateway.gateway.settings.outputs_dir) / task["task_id"]
        assert folder.is_dir()
        many = MANY[url.partition(":")[0]]
        await multiply(database, many)
        async with polling(gateway):
            answer = await gateway.http.post("/api/history/delete", json={"all": True}, timeout=120)
        assert answer.status_code == 200, answer.text
        assert answer.json()["count"] == many + 1
        assert len(answer.json()["deleted"]) == min(many + 1, MOST_LISTED)
        assert answer.json()["deleted"][0] == task["task_id"]
        assert await counted(database) == [0, 0, 0]
        assert not folder.exists()
        assert [info async for info in files.files()] == []
        again = await gateway.http.post("/api/history/delete", json={"all": True})
        assert again.json() == {"deleted": [], "count": 0}


async def test_a_list_reads_what_it_shows_and_no_more(
    demo: DemoServer, settings_for: SettingsFor
) -> None:
    """How long that takes is in benchmarks/rows/listing.py, and on PostgreSQL, whose plans depend
    on what it knows of the rows by then, in benchmarks/replicas.py."""
    async with over(settings_for, demo) as gateway:

        async def least_read() -> int:
            """Of some times: the gateway itself reads now and then."""
            found = []
            for _ in range(5):
                with rows_read() as looked:
                    answer = await gateway.http.get("/api/tasks?limit=50")
                assert len(answer.json()["tasks"]) == 50
                found.append(looked.count)
            return min(found)

        await gateway.submit(model_free())
        await multiply(await gateway.database(), 100)
        few = await least_read()
        await gateway.submit(model_free(1))
        await multiply(await gateway.database(), 20_000, first=1_000)
        assert 0 < await least_read() < 2 * few


async def test_what_is_not_the_callers_stays(database: Database) -> None:
    store = TaskRepository(TaskTable(database), EVERYBODY)
    caller = Caller(name="me", scope=AccessLevel.RUN, visible_owner="me")
    mine = TaskRepository(TaskTable(database), caller)
    (own,) = await mine.add([NewTask(str(uuid4()), {}, owner="me")])
    (other,) = await store.add([NewTask(str(uuid4()), {})])
    await store.request_cancels([own.task_id, other.task_id])
    assert await mine.ends([own.task_id, other.task_id]) == {own.task_id: True}
    assert (await mine.finished(0, 99))[0] == [own.task_id]
    assert await mine.delete([own.task_id, other.task_id]) == [own.task_id]
    assert await store.ids_of([own.task_id, other.task_id]) == {other.task_id}


@pytest.mark.parametrize(
    ("caller", "seen"),
    [
        (Caller(name="a", scope=AccessLevel.RUN, visible_owner="a"), {"a"}),
        (STRANGER, set()),
        (Caller(name="boss", scope=AccessLevel.MANAGE), {"a", "b", None}),
    ],
)
async def test_each_caller_is_answered_its_own(
    database: Database, caller: Caller, seen: set[str | None]
) -> None:
    everybody = TaskRepository(TaskTable(database), EVERYBODY)
    new = [NewTask(str(uuid4()), {"1": {}}, owner=name) for name in ("a", "b", None)]
    ids = [task.task_id for task in await everybody.add(new)]
    store = TaskRepository(TaskTable(database), caller)
    told = [await store.several(ids), await store.queue(), await store.page()]
    assert [{task.owner for task in found} for found in told] == [seen] * 3
    own = {task.task_id for task in new if task.owner in seen}
    assert set(await store.ends(ids)) == set(await store.unfinished()) == own
    for task_id in ids:
        if task_id in own:
            assert await store.prompt_parts(task_id) == ({"1": {}}, (), None)
        else:
            with pytest.raises(TaskNotFound):
                await store.prompt_parts(task_id)
    assert {task.task_id for task in await store.request_cancels(ids)} == own
    assert set(await store.delete(ids)) == own
    assert {task.owner for task in await everybody.several(ids)} == {"a", "b", None} - seen


async def test_a_long_list_of_ids(url: str, demo: DemoServer, settings_for: SettingsFor) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        http = gateway.http
        first = await gateway.submit(model_free())
        database = await gateway.database()
        await multiply(database, 9_999)
        query = select(tasks.c.task_id).order_by(tasks.c.seq)
        found = await database.read(lambda c: list(c.scalars(query)), large=True)
        waiting = await gateway.submit(model_free(1), wait=0)
        await gateway.until(waiting["task_id"], "succeeded")
        for wrong, status in ((str(uuid4()), 404), ("x" * 100_000, 404), ("\x00", 404)):
            body = {"task_ids": [*found[:-1], wrong]}
            answer = await http.post("/api/history/delete", json=body)
            assert answer.status_code == status, answer.text[:300]
            assert (await http.get(f"/api/task/{first['task_id']}")).status_code == 200
        too_many = await http.post("/api/history/delete", json={"task_ids": [*found, "one more"]})
        assert too_many.status_code == 422
        assert "10000" in too_many.json()["detail"], "it names the limit"
        answer = await http.post(
            "/api/history/delete", json={"task_ids": found, "servers": True}, timeout=120
        )
        assert answer.json()["count"] == 10_000
        assert sorted(answer.json()["deleted"]) == sorted(found)
        assert await gateway.task(waiting["task_id"])


async def test_a_long_queue_is_cleared_while_others_are_served(
    url: str, demo: DemoServer, settings_for: SettingsFor
) -> None:
    demo.knobs.stall = True
    async with over(settings_for, demo, database_url=url) as gateway:
        running = await gateway.submit(model_free(), wait=0)
        await gateway.until(running["task_id"], "running")
        held = await gateway.submit(model_free(1), wait=0)
        task = await gateway.submit(model_free(2), wait=0)
        await multiply(await gateway.database(), 2_999)
        follower = websockets.connect(f"ws://{gateway.address}/ws", max_queue=None)
        async with follower as socket, polling(gateway):
            answer = await gateway.http.post("/api/queue/clear", timeout=120)
            assert answer.json()["count"] >= 3_000
            assert task["task_id"] in answer.json()["canceled"]
            told: set[str] = set()
            while len(told) < 3_000:  # and it was not let go as too slow
                message = json.loads(await asyncio.wait_for(socket.recv(), 20))
                if message["event"] == "status" and message["status"] == "canceled":
                    told.add(message["task_id"])
        assert (await gateway.task(running["task_id"]))["status"] == "running"
        assert held["task_id"]
        assert (await gateway.http.post("/api/queue/clear")).json()["count"] == 0
        demo.knobs.stall = False


async def test_a_server_that_holds_very_many_prompts_of_strangers(database: Database) -> None:
    store, queue = TaskRepository(TaskTable(database), EVERYBODY), Queue(database, Lease("me", 60))
    (ours,) = await store.add([NewTask(str(uuid4()), {})])
    strangers = [str(number) for number in range(100_000)]
    odd = ["", "\x00" * 36, "\ud800" * 36, "x" * 100_000]
    held = [*strangers, *(str(uuid4()) for _ in range(3 * MAX_LIST_ROWS)), *odd, ours.task_id]
    assert await queue.locations_of(held) == {ours.task_id: (None, False)}
    assert await store.ids_of(held) == {ours.task_id}
    assert [task.task_id for task in await store.several(held)] == [ours.task_id]


async def test_lists_of_any_length_and_kind(database: Database) -> None:
    added = await TaskRepository(TaskTable(database), EVERYBODY).add(
        [NewTask(str(uuid4()), {}) for _ in range(3)]
    )
    ids = [task.task_id for task in added]

    def asked(condition: Any, values: list[Any]) -> list[str]:
        query = select(tasks.c.task_id).where(condition).order_by(tasks.c.seq)
        return database.read(lambda c: list(c.scalars(query, {"values": values})))  # type: ignore[return-value]

    with none_too_large():
        for count in (0, 3, 100_000):
            few = ids[: min(count, 2)]
            values = [*few, *(f"'{number}" for number in range(count - len(few)))]
            assert await asked(any_of(tasks.c.task_id, "values"), values) == few
            assert await asked(none_of(tasks.c.task_id, "values"), values) == ids[len(few) :]
            seqs = [task.seq for task in added[:count]] + list(range(10**9, 10**9 + count))
            assert await asked(any_of(tasks.c.seq, "values"), seqs) == ids[:count]
    assert list(parts_of(range(5), 2)) == [[0, 1], [2, 3], [4]]
    assert task_ids([*ids, *ids, "short", "\x00" * 36]) == ids


async def test_the_check_of_statements_sees_what_is_too_large(database: Database) -> None:
    query = select(tasks.c.seq).where(tasks.c.seq.in_(range(2000)))
    with pytest.raises(AssertionError, match="2000 parameters"), none_too_large():
        await database.read(lambda connection: connection.execute(query).all())
