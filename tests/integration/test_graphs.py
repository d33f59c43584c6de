"""Graphs that tasks share: stored once, read with each own changes, gone with the last task."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import func, insert, select, text

from app.auth.model import EVERYBODY
from app.db import prompts as graphs
from app.db.claimed import Claim
from app.db.cleanup import Tidying
from app.db.engine.database import Database
from app.db.lease import Lease
from app.db.mapping import dump
from app.db.prompts import graph_of
from app.db.queue import Queue
from app.db.tables import prompts, routes, tasks
from app.db.tasks import TaskRepository, TaskTable
from app.errors import TaskNotFound
from app.settings import Settings
from app.tasks.model import Assignment, NewTask, Task
from app.workflows.parameters.apply import Change
from app.workflows.requirements import Needs, needs_of, requirements_of
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.databases import KINDS, database_url

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def large(size: int = 1_500_000) -> Json:
    graph = model_free()
    graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": "A" * size}}
    return graph


async def stored_bytes(database: Database) -> int:
    """Of all columns in which prompts and what belongs to them stand."""
    columns = [
        *(prompts.c.prompt, prompts.c.changes, prompts.c.params, graphs.graphs.c.prompt),
        *(tasks.c.params, tasks.c.metadata, tasks.c.warnings, tasks.c.cut, routes.c.needs),
    ]
    total = 0
    for column in columns:
        query = select(func.coalesce(func.sum(func.length(column)), 0))
        total += await database.read(lambda connection, query=query: connection.scalar(query) or 0)
    return total


async def count(database: Database, table: str) -> int:
    query = text(f"SELECT count(*) FROM {table}")
    return await database.read(lambda connection: int(connection.scalar(query) or 0))


def sharing(prompt: Json, *changes: Sequence[Change], owner: str | None = None) -> list[NewTask]:
    graph, needs = graph_of(prompt, owner), requirements_of(needs_of(prompt), shares_graph=True)
    return [
        NewTask(str(uuid4()), prompt, graph, tuple(own), requirements=needs, owner=owner)
        for own in changes
    ]


async def claimed(database: Database, number: int = 10) -> list[Claim]:
    queue = Queue(database, Lease("me", 60))
    found, _ = await queue.assign(
        lambda held: ((), lambda waiting: [Assignment(w.seq, "s") for w in waiting[:number]])
    )
    return found


async def finish(database: Database, found: Sequence[Task]) -> list[str]:
    ids = [task.task_id for task in found]
    ended = tasks.update().where(tasks.c.task_id.in_(ids))
    ended = ended.values(status="succeeded", finished_at=1.0)
    await database.write(lambda connection: connection.execute(ended))
    return ids


# -- through the whole of the gateway -----------------------------------------------------------


async def test_a_batch_stores_its_prompt_once(
    kind: str, settings_for: MakeSettings, demo: DemoServer, tmp_path: Any
) -> None:
    demo.knobs.stall = True
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        database = await gateway.database()
        before = await stored_bytes(database)
        body = {"workflow": large(400_000), "batch": {"1.color": list(range(1000))}}
        answer = await gateway.http.post(SUBMIT, json=body)
        assert answer.status_code == 202, answer.text
        assert await stored_bytes(database) - before < 2_000_000
        assert len(answer.content) < 2_000_000
        answer = await gateway.http.post(SUBMIT, json=body)
        assert answer.status_code == 202, "the same once more"
        assert await stored_bytes(database) - before < 3_000_000
        assert await count(database, "graphs") == 1


async def test_each_task_has_its_own_parameters(
    kind: str, settings_for: MakeSettings, demo: DemoServer, tmp_path: Any
) -> None:
    colors = [0x000000, 0xFF0000, 0x00FF00, 0x0000FF, 0xFFFFFF]
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        batch = await gateway.submit(model_free(), batch={"1.color": colors})
        assert [task["params"] for task in batch["tasks"]] == [{"1.color": c} for c in colors]
        pictures = [await picture(gateway, task) for task in batch["tasks"]]
        assert len(set(pictures)) == len(colors)
        for color, task, made in zip(colors, batch["tasks"], pictures, strict=True):
            single = await gateway.submit(model_free(color))
            assert await picture(gateway, single) == made, "as if it had been sent alone"
            shown = (await gateway.http.get(f"/api/task/{task['task_id']}/workflow")).json()
            assert shown["workflow"] == model_free(color)
            job = (await gateway.http.get(f"/api/v2/jobs/{task['task_id']}/workflow")).json()
            assert job["workflow"] == model_free(color)
        await deletes_and_retries(gateway, batch["tasks"], pictures)


async def picture(gateway: RunningGateway, task: Json) -> bytes:
    assert task["status"] == "succeeded", task
    answer = await gateway.http.get(task["outputs"][0]["url"])
    assert answer.status_code == 200
    return b"".join(answer.content.split(b"tEXt")[:1]) + answer.content.rpartition(b"IDAT")[2]


async def deletes_and_retries(
    gateway: RunningGateway, batch: list[Json], pictures: list[bytes]
) -> None:
    database = await gateway.database()
    first, *rest = [task["task_id"] for task in batch]
    for task_id in rest:
        assert (await gateway.http.delete(f"/api/task/{task_id}")).status_code == 204
    assert await count(database, "graphs") == 1, "one task has it still"
    again = (await gateway.http.post(f"/api/task/{first}/retry")).json()
    assert (await gateway.http.delete(f"/api/task/{first}")).status_code == 204
    assert await count(database, "graphs") == 1, "the new one has it now"
    again = await gateway.until(again["task_id"], "succeeded")
    assert await picture(gateway, again) == pictures[0]
    assert (await gateway.http.delete(f"/api/task/{again['task_id']}")).status_code == 204
    assert await count(database, "graphs") == 0


async def test_many_retries_of_a_large_prompt(settings_for: MakeSettings, demo: DemoServer) -> None:
    demo.knobs.stall = True
    async with over(settings_for, demo) as gateway:
        task = await gateway.submit(large(300_000), wait=0)
        for _ in range(20):
            answer = await gateway.http.post(f"/api/task/{task['task_id']}/retry")
            assert answer.status_code == 202
        assert await stored_bytes(await gateway.database()) < 700_000


# -- what the tables hold -----------------------------------------------------------------------


async def test_claims_have_the_changes_in_the_graph(database: Database) -> None:
    store = TaskRepository(TaskTable(database), EVERYBODY)
    base = model_free(1)
    new = sharing(base, [("1", "color", 7)], [("1", "width", 9), ("3", "filename_prefix", "x")], [])
    await store.add([*new, NewTask(str(uuid4()), model_free(8))])
    found = [claim.prompt for claim in await claimed(database)]
    assert found[0]["1"]["inputs"]["color"] == 7
    assert (found[1]["1"]["inputs"]["width"], found[1]["1"]["inputs"]["color"]) == (9, 1)
    assert found[1]["3"]["inputs"]["filename_prefix"] == "x"
    assert found[2:] == [base, model_free(8)]


async def test_graphs_of_two_keys_are_apart(database: Database) -> None:
    store = TaskRepository(TaskTable(database), EVERYBODY)
    for name in ("a", "b"):
        await store.add(sharing(model_free(), [], [], owner=name))
    assert await count(database, "graphs") == 2


async def test_what_an_older_gateway_left_is_swept(database: Database) -> None:
    store = TaskRepository(TaskTable(database), EVERYBODY)
    gone = await store.add(sharing(model_free(1), [], []))
    kept = await store.add(sharing(model_free(2), [], []))
    ids = [task.task_id for task in gone]
    for table in (prompts, tasks):  # as it deletes
        removal = table.delete().where(table.c.task_id.in_(ids))
        await database.write(lambda connection, removal=removal: connection.execute(removal))
    await Tidying(database).tidy()
    assert await count(database, "graphs") == 1
    assert await store.prompt(kept[0].task_id) == model_free(2)


async def test_a_task_is_added_to_a_graph_while_its_last_one_is_deleted(
    database: Database,
) -> None:
    """However the two meet, no task is without its graph, and no graph without a task."""
    store = TaskRepository(TaskTable(database), EVERYBODY)
    prompt = model_free()
    for _ in range(25):
        ids = await finish(database, await store.add(sharing(prompt, [], [])))
        new = sharing(prompt, [("1", "color", 3)])[0]
        await asyncio.gather(
            store.delete(ids[:1]),
            store.add([new]),
            store.delete(ids[1:]),
            Tidying(database).tidy(),
        )
        assert (await store.prompt(new.task_id))["1"]["inputs"]["color"] == 3
        assert await count(database, "graphs") == 1
        with suppress(TaskNotFound):
            await store.request_cancel(new.task_id)
        await store.delete([new.task_id])
        assert await count(database, "graphs") == 0


async def test_a_gateway_before_shared_graphs_leaves_such_tasks_alone(database: Database) -> None:
    """It looks for servers with all node types that the row of the route names."""
    store = TaskRepository(TaskTable(database), EVERYBODY)
    (new, *_) = sharing(model_free(), [], [])
    (task,) = await store.add([new])
    query = select(routes.c.needs).where(routes.c.route == task.requirements_id)
    stored = await database.read(lambda connection: str(connection.scalar(query)))
    needs = new.requirements.needs
    assert stored == new.requirements.text
    assert len(stored) > len(needs.dump())
    assert Needs.load(stored) == needs, "we ourselves need no more than the prompt does"
    assert requirements_of(needs).text == needs.dump()


async def test_rows_of_before_run(database: Database) -> None:
    """A prompt that an older gateway wrote, whole, with the columns that it knew."""
    store = TaskRepository(TaskTable(database), EVERYBODY)
    (task,) = await store.add(sharing(model_free(1), []))
    old = str(uuid4())
    change = tasks.update().where(tasks.c.task_id == task.task_id).values(task_id=old)
    row = {"task_id": old, "prompt": dump(model_free(5))}
    await database.write(lambda connection: connection.execute(change))
    await database.write(lambda connection: connection.execute(insert(prompts), [row]))
    (claim,) = await claimed(database)
    assert claim.prompt == await store.prompt(old) == model_free(5)


# -- limits -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"workflow": large(), "batch": {"1.color": list(range(1000))}}, ["1000 tasks", "bytes"]),
        (
            {"workflow": model_free(), "batch": {"1.color": list(range(1000))}}
            | {"metadata": {"note": "m" * 50_000}},
            ["1000 tasks", "metadata"],
        ),
        (
            {"workflow": model_free(), "params": {"3.filename_prefix": "p" * 60_000}}
            | {"batch": {"1.color": list(range(1000))}},
            ["1000 tasks", "parameters"],
        ),
        (
            {"workflow": model_free(), "params": {"3.filename_prefix": "p" * 1_100_000}},
            ["'3.filename_prefix'", "1100000 bytes", "1048576"],
        ),
        (
            {"workflow": model_free(), "batch": {"3.filename_prefix": ["x", "p" * 1_100_000]}},
            ["'3.filename_prefix'", "1100000 bytes"],
        ),
    ],
)
async def test_what_is_too_much_is_named(
    gateway: RunningGateway, body: Json, named: list[str]
) -> None:
    answer = await gateway.http.post(SUBMIT, json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "payload_too_large")
    assert all(word in answer.json()["detail"] for word in named), answer.json()["detail"]
    assert answer.json()["hint"]
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_many_nodes_in_many_tasks(gateway: RunningGateway) -> None:
    graph = model_free()
    for number in range(2000):
        graph[f"n{number}"] = {"class_type": "PreviewAny", "inputs": {"source": "x"}}
    body = {"workflow": graph, "batch": {"1.color": list(range(1000))}}
    answer = await gateway.http.post(SUBMIT, json=body)
    assert answer.status_code == 413
    assert "1000 tasks of 2003 nodes" in answer.json()["detail"]


async def test_a_webhook_in_many_tasks(gateway: RunningGateway) -> None:
    url = f"https://1.1.1.1/{'p' * 8000}"
    hook = {"url": url, "headers": {f"X-{n}": "v" * 4000 for n in range(4)}}
    body = {"workflow": model_free(), "webhook": hook, "batch": {"1.color": list(range(1000))}}
    answer = await gateway.http.post(SUBMIT, json=body)
    assert answer.status_code == 413, answer.text
    assert "webhook" in answer.json()["detail"]


async def test_many_sets_of_needs(gateway: RunningGateway) -> None:
    """Each is a row of its own, with all node types of the workflow."""
    graph = model_free()
    for number in range(900):
        graph[f"n{number}"] = {"class_type": f"AClassThatIsNowhere{number}", "inputs": {}}
    graph["m"] = {"class_type": "Loader", "inputs": {"name": "x.safetensors"}}
    names = [f"{number}.safetensors" for number in range(1000)]
    body = {"workflow": graph, "batch": {"m.name": names}, "wait_for_server": True}
    answer = await gateway.http.post(SUBMIT, json=body)
    assert answer.status_code == 413, answer.text
    assert "model files" in answer.json()["detail"]
    assert await count(await gateway.database(), "routes") == 0


async def test_a_usual_batch_of_a_large_workflow(gateway: RunningGateway, demo: DemoServer) -> None:
    """1,000 tasks of 500 nodes and 200 kB."""
    demo.knobs.stall = True
    graph = model_free()
    for number in range(500):
        graph[f"n{number}"] = {"class_type": "PreviewAny", "inputs": {"source": "x" * 350}}
    answer = await gateway.http.post(
        SUBMIT, json={"workflow": graph, "batch": {"1.color": list(range(1000))}}
    )
    assert answer.status_code == 202
    await wait_until(lambda: demo.records.prompts)
    sent = demo.records.prompts[0].graph
    assert len(sent) == 503
