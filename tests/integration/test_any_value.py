"""Whatever a client or a server says: it is refused, or cleaned, and every task comes to its end.

`REACHED` names for each column who can put a value into it; a new column fails here until somebody
has said so, and a column that a client or a server reaches has its cases below.
"""

import asyncio
import json
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Float,
    Select,
    String,
    false,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.types import Boolean

from app.db.engine.columns import LongWords, Unstorable, Words
from app.db.engine.database import Database, open_database
from app.db.tables import metadata, outputs, tasks
from app.limits import text_lengths
from app.settings import Settings
from app.tasks.model import NewTask
from app.workflows.requirements import needs_of, requirements_of
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, text_to_image, wait_until

pytestmark = pytest.mark.slow

Json = dict[str, Any]

LONG, HUGE = "x" * 5000, 2**70
VALUES: dict[str, Any] = {
    "long": LONG,
    "long and wide": "\U0001f98a" * 5000,
    "nul": "a\0b",
    "surrogate": "a\ud800b",
    "huge": HUGE,
    "beyond floats": 10**400,
    "nan": float("nan"),
    "infinity": float("-inf"),
    "object": {"a": {"b": [1]}},
    "list": ["a", None, {}],
    "flag": True,
    "nothing": None,
    "empty": "",
}

# By table: who can put a value there. "ours": only what we make ourselves, and its bound.
REACHED: dict[str, dict[str, str]] = {
    "tasks": {
        **dict.fromkeys(("priority", "timeout", "filename", "params", "metadata", "cut"), "client"),
        **dict.fromkeys(("wanted_server", "warnings"), "client"),
        **dict.fromkeys(("progress", "error", "attempts"), "server"),
        **dict.fromkeys(("seq", "status", "cancel_reason", "needs_key"), "ours"),
        **dict.fromkeys(("task_id", "retry_of", "batch_id", "client_id"), "ours"),
        **dict.fromkeys(("rank", "created_at", "started_at", "finished_at"), "ours"),
        **dict.fromkeys(("lease_until", "submitted_at", "expected"), "ours"),
        **dict.fromkeys(("route", "shape"), "ours"),  # digests
        **dict.fromkeys(("owner", "server", "key_name"), "ours"),  # by settings, and checked there
        **dict.fromkeys(("number", "client"), "client"),
        **dict.fromkeys(("origin", "lane"), "ours"),  # digests
    },
    "native_prompts": {
        **dict.fromkeys(("task_id", "hidden", "told", "stop_from", "stop_at"), "ours"),
        "about": "client",
        "result": "server",
    },
    "prompts": {
        **dict.fromkeys(("prompt", "changes", "params"), "client"),
        **dict.fromkeys(("task_id", "graph_id", "extra_id"), "ours"),
    },
    "extras": {"extra_id": "ours", "extra": "client"},
    "graphs": {"graph_id": "ours", "prompt": "client"},
    "task_texts": {"seq": "ours", "text": "client"},
    "outputs": {
        **dict.fromkeys(("node_id", "filename", "subfolder", "type"), "server"),
        **dict.fromkeys(("content_type", "text", "error"), "server"),
        **dict.fromkeys(("id", "task_id", "kind", "asset_id", "created_at"), "ours"),
        **dict.fromkeys(("size_bytes", "hash", "key"), "ours"),  # of the bytes that came
    },
    "assets": {
        **dict.fromkeys(("upload", "file_path", "content_type", "tags", "expires_at"), "client"),
        **dict.fromkeys(("asset_id", "hash", "key_name", "size_bytes", "created_at"), "ours"),
    },
    "routes": {"route": "ours", "wanted_server": "client", "needs": "client"},
    "run_times": {
        **dict.fromkeys(("seconds", "nodes"), "server"),
        **dict.fromkeys(("shape", "server", "updated_at"), "ours"),
    },
    "idempotency_keys": {
        "key": "client",
        **dict.fromkeys(("digest", "task_id", "created_at"), "ours"),
    },
    "key_usage": dict.fromkeys(("key_name", "day", "tasks"), "ours"),
    "runners": dict.fromkeys(("runner_id", "lease_until", "alone"), "ours"),
    "servers": {**dict.fromkeys(("id", "url", "slots"), "client"), "state": "ours"},
    "webhooks": {
        **dict.fromkeys(("host", "place", "events", "shown", "url", "headers", "secret"), "client"),
        **dict.fromkeys(("id", "task_id", "scope", "state", "start_wanted", "lane"), "ours"),
    },
    "deliveries": {
        **dict.fromkeys(("host", "place", "body", "log"), "client"),
        **dict.fromkeys(("seq", "delivery_id", "task_id", "webhook", "event", "status"), "ours"),
        **dict.fromkeys(("tries", "created_at", "finished_at", "next_at", "owner", "lane"), "ours"),
    },
}
COLUMNS = [column for table in metadata.sorted_tables for column in table.columns]


def test_it_is_known_who_reaches_each_column() -> None:
    known = {f"{table}.{name}" for table, names in REACHED.items() for name in names}
    # Columns that were added since are to be named above, with cases in this file.
    assert {str(column) for column in COLUMNS} - known == set()


def refusable(column: Column[Any]) -> dict[str, Any]:
    """What a column must not take, by its type."""
    kind = column.type._type_affinity
    free = {"nothing"}
    if issubclass(kind, String):
        free |= {"empty"}
        if isinstance(column.type, LongWords):
            free |= {"long", "long and wide"}
    elif issubclass(kind, Boolean):
        free |= {"flag"}
    elif issubclass(kind, Float):
        free |= {"huge"}
    return {name: value for name, value in VALUES.items() if name not in free}


async def test_columns_refuse_what_postgresql_would(database: Database) -> None:
    for column in COLUMNS:
        for name, value in refusable(column).items():
            with pytest.raises(Unstorable) as refused:
                await write(database, column, value)
            assert refused.value.detail.startswith(f"{column.name}: "), (str(column), name)
            assert "xxx" not in refused.value.detail
        if isinstance(column.type, Words) and column.type.length < 1000:
            await write(database, column, "\U0001f98a" * column.type.length)


async def write(database: Database, column: Column[Any], value: Any) -> None:
    """To no row: the statement is made all the same."""
    change = update(column.table).values({column.name: value}).where(false())
    await database.write(lambda connection: connection.execute(change))


async def test_what_cannot_be_stored_is_not_found(database: Database) -> None:
    for column in COLUMNS:
        if isinstance(column.type, Words):
            for value in (LONG, "a\0b", "a\ud800b"):
                for condition in (column == value, column.in_([value, "b"])):
                    assert await count(database, select(column.table).where(condition)) == 0


async def count(database: Database, query: Select[Any]) -> int:
    return len(await database.read(lambda connection: connection.execute(query).all()))


async def test_the_largest_fit_and_come_back(database: Database) -> None:
    row: Json = {"task_id": str(uuid4()), "node_id": "\U0001f98a" * text_lengths.NODE_ID}
    row |= {"kind": "text", "subfolder": "é" * text_lengths.SUBFOLDER, "type": "output"}
    row |= {"filename": "\U0001f98a" * text_lengths.FILENAME, "text": "\U0001f98a" * 100_000}
    row |= {"size_bytes": 2**62}
    await database.write(lambda c: c.execute(insert(outputs).values(row)))
    stored = await database.read(lambda c: c.execute(select(outputs)).mappings().one())
    assert {name: stored[name] for name in row} == row


# -- what clients send ----------------------------------------------------------------------------


def submits(value: Any) -> dict[str, Json]:
    """Bodies of a submit with the value in a field, by what it comes to in the tables."""
    name = value if isinstance(value, str) else str(value)
    show: Json = {"class_type": "PreviewAny", "inputs": {"source": "1"}}
    hook: Json = {"url": "http://127.0.0.1:9/x"}
    graphs: dict[str, Json] = {
        "prompts.prompt": {"9": {**show, "inputs": {"source": value}}},
        "prompts.prompt id": {name: show},
        "prompts.prompt input": {"9": {**show, "inputs": {"source": "1", name: 1}}},
        "routes.needs": {"9": {**show, "class_type": value}},
    }
    fields: dict[str, Json] = {
        "tasks.priority": {"priority": value},
        "tasks.timeout": {"timeout": value},
        "tasks.params": {"params": {"3.filename_prefix": value}},
        "tasks.params name": {"params": {name: 1}},
        "tasks.metadata": {"metadata": {"a": value, name: 1}},
        "tasks.wanted_server": {"server": value},
        "routes.wanted_server": {"server": value, "wait_for_server": True},
        "batch": {"batch": {name: [value]}},
        "batch value": {"batch": {"3.filename_prefix": [value, "b"]}},
        "webhooks.url": {"webhook": value},
        "webhooks.host": {"webhook": {"url": f"http://{name}.example.com/"}},
        "webhooks.shown": {"webhook": {"url": f"http://127.0.0.1:9/{name}?a={name}"}},
        "webhooks.events": {"webhook": {**hook, "events": [value]}},
        "webhooks.headers": {"webhook": {**hook, "headers": {"a": value}}},
        "webhooks.headers name": {"webhook": {**hook, "headers": {name: "a"}}},
        "webhooks.secret": {"webhook": {**hook, "secret": value}},
        "extras.extra": {"extra_data": {"extra_pnginfo": {"workflow": value, name: value}}},
    }
    bodies = {column: {"workflow": model_free(), **more} for column, more in fields.items()}
    for column, more in graphs.items():
        bodies[column] = {"workflow": {**model_free(), **more}, "wait_for_server": True}
    return {**bodies, "tasks.filename": {"filename": value}}


async def settled(gateway: RunningGateway) -> list[Json]:
    """All tasks, once each has come to its end."""

    async def listed() -> list[Json]:
        return list((await gateway.http.get("/api/tasks?limit=1000")).json()["tasks"])

    async def are_final() -> bool:
        return all(task["finished_at"] for task in await listed())

    await wait_until(are_final)
    return await listed()


async def clear(gateway: RunningGateway) -> None:
    """Cancel what waits (for a server that is not there), and see that all can be deleted."""
    for server in gateway.gateway.pool:  # so many failures take a server out for a while
        await gateway.http.post(f"/api/servers/{server.id}/resume")
    listed = (await gateway.http.get("/api/tasks?limit=1000")).json()["tasks"]
    for task in listed:
        if not task["finished_at"] and task["status"] == "queued":
            await gateway.http.post(f"/api/task/{task['task_id']}/cancel")
    ids = [task["task_id"] for task in await settled(gateway)]
    gone = await gateway.http.post("/api/history/delete", json={"task_ids": ids})
    assert gone.status_code == 200, gone.text
    assert (await gateway.http.get("/api/tasks?limit=1000")).json()["tasks"] == []


async def works(gateway: RunningGateway) -> None:
    """Slots are free, and a task runs."""
    task = await gateway.submit(model_free(7))
    assert (task["status"], len(task["attempts"])) == ("succeeded", 1)


async def test_any_value_in_any_field(
    url: str, demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with over(
        settings_for, demo, database_url=url, allow_private_urls=["127.0.0.1"]
    ) as gateway:
        for kind, value in VALUES.items():
            bodies = submits(value)
            asked = (
                gateway.http.post("/api/workflow/submit", content=json.dumps(body).encode())
                for body in bodies.values()
            )
            for column, answer in zip(bodies, await asyncio.gather(*asked), strict=True):
                assert answer.status_code < 500, (column, kind, answer.text[:500])
            await clear(gateway)
        await works(gateway)


async def test_any_value_in_other_requests(
    url: str, demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        done = await gateway.submit(model_free(3))
        for kind, value in VALUES.items():
            for method, path, body in others(value, done["task_id"]):
                answer = await gateway.http.request(
                    method, path, content=json.dumps(body).encode() if body is not None else None
                )
                assert answer.status_code < 500, (method, path[:80], kind, answer.text[:500])
            for fields in forms(value):
                files = {"file": ("a.txt", b"abc", "text/plain")}
                try:
                    answer = await gateway.http.post("/api/v2/assets", files=files, data=fields)
                except UnicodeEncodeError:
                    continue  # it cannot be sent
                assert answer.status_code < 500, (fields, kind, answer.text[:500])
        await works(gateway)


def others(value: Any, task_id: str) -> list[tuple[str, str, Any]]:
    graph = model_free()
    digest = "blake3:" + "0" * 64
    found: list[tuple[str, str, Any]] = [
        ("POST", "/api/v2/jobs", {"workflow": graph, "metadata": value}),
        ("POST", "/api/v2/jobs", {"workflow": graph, "metadata": {"a": value}}),
        ("POST", "/api/v2/jobs", {"workflow": graph, "priority": value}),
        ("POST", "/api/v2/assets/from-hash", {"hash": value}),
        ("POST", "/api/v2/assets/from-hash", {"hash": digest, "file_path": value}),
        ("POST", "/api/v2/assets/from-hash", {"hash": digest, "tags": [value]}),
        ("POST", "/api/v2/assets/from-hash", {"hash": digest, "expires_in": value}),
        ("POST", "/api/servers", {"address": value}),
        ("POST", "/api/servers", {"address": "127.0.0.1:1", "slots": value}),
        ("POST", "/api/history/delete", {"task_ids": [value]}),
    ]
    if isinstance(value, str) and value and "\ud800" not in value:
        part = quote(value, safe="")
        found += [
            ("POST", "/api/servers", {"address": f"{value}.example.com:8188"}),
            *(("GET", path.replace("@", part), None) for path in LOOKED_UP),
            *(("POST", path.replace("@", part), None) for path in ACTED_ON),
            ("DELETE", f"/api/task/{part}", None),
            ("DELETE", f"/api/v2/assets/{part}", None),
            ("GET", f"/api/image/{part}?task_id={task_id}&subfolder={part[:400]}", None),
        ]
    return found


LOOKED_UP = (
    *("/api/task/@", "/api/task/@/workflow", "/api/task/@/deliveries", "/api/batch/@"),
    *("/api/image/@", "/api/image/a.png?task_id=@", "/api/tasks?batch_id=@", "/api/workflow/@"),
    *("/api/v2/jobs/@", "/api/v2/assets/@", "/api/servers/@", "/api/tasks?cursor=@"),
    *("/api/v2/jobs?metadata[a]=@", "/api/v2/jobs?cursor=@", "/api/deliveries?cursor=@"),
    *("/api/tasks?cursor=999999999999999999", "/api/v2/jobs?cursor=999999999999999999"),
    "/api/deliveries?cursor=999999999999999999",
)
ACTED_ON = (
    *("/api/task/@/cancel", "/api/task/@/retry", "/api/batch/@/cancel", "/api/interrupt/@"),
    *("/api/deliveries/@/replay", "/api/servers/@/drain"),
)


def forms(value: Any) -> list[Json]:
    said = value if isinstance(value, str) else json.dumps(value)
    plain = {"content_type": "text/plain", "file_path": "a.txt"}
    return [{**plain, name: said} for name in ("content_type", "file_path", "tags", "expires_in")]


# -- what servers say -----------------------------------------------------------------------------

SAID = (
    *("filename", "subfolder", "type", "text", "images", "outputs", "messages", "status"),
    *("status_str", "completed", "node", "nodes", "node_id", "node_type", "exception_type"),
    *("exception_message", "traceback", "timestamp", "value", "max", "state", "output"),
    *("display_node", "display_node_id", "prompt", "queue_remaining"),
)


def odd_graph(fails: bool) -> Json:
    source = {"class_type": "PreviewAny", "inputs": {"source": "said"}}
    return {**text_to_image(steps=2, seed=uuid4().int % 2**60), "20": source} | (
        {"21": {"class_type": "ImageInvert", "inputs": {"image": ["8", 0]}}} if fails else {}
    )


@pytest.mark.parametrize("fails", [False, True], ids=["that succeeds", "that fails"])
async def test_any_value_that_a_server_says(
    url: str, demo: DemoServer, settings_for: Callable[..., Settings], fails: bool
) -> None:
    """Each under each key in turn (other ones in tasks that fail), and each under all at once."""
    demo.knobs.fail_node = "VAEDecode" if fails else None
    kinds = list(VALUES)
    said = [dict.fromkeys(SAID, value) for value in VALUES.values()]
    said += [{key: VALUES[kinds[(n + 5 * fails) % len(kinds)]]} for n, key in enumerate(SAID)]
    for name in (LONG, "a\0b"):
        said.append({"outputs": {name: {"images": [{"filename": "a.png"}], "text": [name]}}})
    async with over(settings_for, demo, database_url=url) as gateway:
        for values in said:
            demo.knobs.say = values
            task = await gateway.submit(odd_graph(fails))
            assert task["finished_at"], (list(values), task["status"])
            assert len(task["attempts"]) == 1, (list(values), task["attempts"])
            json.loads(json.dumps(task), parse_constant=pytest.fail)
            shown = await gateway.http.get(f"/api/v2/jobs/{task['task_id']}")
            assert shown.status_code == 200, (list(values), shown.text[:300])
        demo.knobs.say = demo.knobs.fail_node = None
        await clear(gateway)
        await works(gateway)


# -- ends -----------------------------------------------------------------------------------------


def saving(node_id: str, prefix: str = "ex") -> Json:
    graph = model_free(int(uuid4()) % 2**24)
    return {
        **{name: graph[name] for name in ("1", "2")},
        node_id: {**graph["3"], "inputs": {**graph["3"]["inputs"], "filename_prefix": prefix}},
    }


HARD = {
    "long node id": saving("n" * 300),
    "nul in a node id": saving("a\0b"),
    "deep folders": saving("3", "/".join(["folder" * 5] * 20) + "/x"),
    "nul in a text": {"1": {"class_type": "PreviewAny", "inputs": {"source": "a\0b"}}},
    "long text": {"1": {"class_type": "PreviewAny", "inputs": {"source": "ab" * 1_500_000}}},
}


async def queue_unchecked(gateway: RunningGateway, prompt: Json) -> str:
    """As a task that an older version has queued, which did not look at such things."""
    new = NewTask(task_id=str(uuid4()), prompt=prompt)
    return (await gateway.gateway.submissions.add([new]))[0].task.task_id


async def test_tasks_that_could_not_be_ended(
    url: str, demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        for name in ("long node id", "nul in a node id"):
            refused = await gateway.http.post(
                "/api/workflow/submit", content=json.dumps(HARD[name]).encode()
            )
            assert refused.status_code == 422, name
            assert refused.json()["detail"].startswith("Node "), refused.text
        ids = [await queue_unchecked(gateway, prompt) for prompt in HARD.values()]
        await works(gateway)
        for task_id in ids:
            await gateway.http.post(f"/api/task/{task_id}/cancel")
        ended = await settled(gateway)
        assert len(ended) == len(ids) + 1
        await clear(gateway)
        await works(gateway)


async def test_a_file_that_cannot_be_named_is_said_to_be_missing(
    url: str, demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with over(settings_for, demo, database_url=url) as gateway:
        task = await gateway.submit(HARD["deep folders"])
        assert task["status"] == "failed"
        assert task["error"]["code"] == "output_unavailable"
        (output,) = task["outputs"]
        assert output["error"]["code"] == "output_unavailable"
        assert "subfolder has" in output["error"]["message"]
        said = (await gateway.submit(HARD["nul in a text"]))["outputs"]
        assert said[0]["text"] == "a\ufffdb"
        (long,) = (await gateway.submit(HARD["long text"]))["outputs"]
        assert len(long["text"]) == text_lengths.TEXT
        assert long["text"].endswith("[3000000 characters]")


async def test_what_slips_through_is_a_failure_and_no_more(
    url: str,
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A node id that no border has cut: the column refuses it, and the task says so."""
    monkeypatch.setattr("app.comfyui.results.name_of", lambda value: value)
    monkeypatch.setattr("app.comfyui.history.name_of", lambda value: value)
    async with over(settings_for, demo, database_url=url) as gateway:
        task_id = await queue_unchecked(gateway, HARD["long node id"])
        task = await gateway.until(task_id, "failed")
        assert task["error"]["code"] == "unwritable_result", task["error"]
        assert "node_id" in task["error"]["message"]
        assert (await gateway.http.delete(f"/api/task/{task_id}")).status_code == 204
        await works(gateway)


REFUSE = {
    "postgresql": (
        "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE ="
        " '23514'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER no BEFORE UPDATE ON tasks FOR EACH ROW WHEN (NEW.status = 'succeeded') "
        "EXECUTE FUNCTION no()",
    ),
    "sqlite": (
        "CREATE TRIGGER no BEFORE UPDATE ON tasks WHEN NEW.status = 'succeeded' "
        "BEGIN SELECT RAISE(ABORT, 'no'); END",
    ),
}


async def test_an_end_that_the_database_refuses_again_and_again(
    url: str,
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For a reason that nobody foresaw, and that is not that it is down or full."""
    monkeypatch.setattr("app.runner.failed_saves.RETRY_INTERVAL", 0.1)
    async with over(settings_for, demo, database_url=url) as gateway:
        database = await open_database(url)
        try:
            for statement in map(text, REFUSE[url.partition(":")[0]]):
                await database.write(partial(Connection.execute, statement=statement))
        finally:
            await database.close()
        refused = [await queue_unchecked(gateway, model_free(color)) for color in (1, 2, 3)]
        for task_id in refused:
            task = await gateway.until(task_id, "failed")
            assert task["error"]["code"] == "unwritable_result", task["error"]
            assert (await gateway.http.delete(f"/api/task/{task_id}")).status_code == 204
        held = await gateway.http.get("/api/queue")
        assert held.json()["running"] == held.json()["queued"] == []


async def test_what_is_claimed_and_driven_by_nobody_is_taken_up(
    url: str,
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A claim whose commit was taken for lost: the row is ours, and no run has it."""
    monkeypatch.setattr("app.scheduler.dispatcher.IDLE", 0.2)
    async with over(settings_for, demo, database_url=url) as gateway:
        dispatcher = gateway.gateway.dispatcher
        demo.knobs.stall = True
        task_id = (await gateway.submit(model_free(5), wait=0))["task_id"]
        await wait_until(lambda: dispatcher._runs.get(task_id))
        runner_id, (server,) = dispatcher._claims.runner_id, list(gateway.gateway.pool)
        new = str(uuid4())
        database = await open_database(url)
        row = update(tasks).where(tasks.c.task_id == new)
        row = row.values(status="canceling", owner=runner_id, lease_until=2e9, server=server.id)
        try:
            needs = requirements_of(needs_of(model_free(6)), server.id)
            waiting = NewTask(task_id=new, prompt=model_free(6), requirements=needs)
            server.draining = True  # nobody is to claim it before
            await gateway.gateway.submissions.add([waiting])
            await database.write(lambda c: c.execute(row))
        finally:
            await database.close()
        server.draining = False
        demo.knobs.stall = False
        assert (await gateway.until(new, "canceled"))["status"] == "canceled"
        assert (await gateway.http.delete(f"/api/task/{new}")).status_code == 204
