"""Lists by workflow, text and time, with totals: on both databases, page by page, key by key."""

import pytest
from sqlalchemy import insert, select

from app.auth.model import AccessLevel, Caller
from app.db.cleanup import Tidying
from app.db.engine.database import Database
from app.db.tables import task_texts
from app.db.task_filters import Selection
from app.db.tasks import TaskRepository, TaskTable
from app.tasks.model import NewTask, Status, Task, TaskError
from app.tasks.outcome import Failed
from tests.conftest import RunningGateway, model_free
from tests.integration.test_claims import Process, add, stop_clock

SAYS = [
    ({"params": {"6.text": "Eine GRÜNE Straße, ночь"}}, ["grüne", "STRASSE", "НОЧЬ", "e strass"]),
    ({"params": {"6.text": "100% sharp_focus \\ 'x'"}}, ["100%", "P_F", "\\ '", "% SHARP"]),
    ({"metadata": {"who": {"team": ["Зелёные"]}}}, ["зелЁные"]),
    ({"filename": "Porträt.JSON"}, ["porträt.json", "PORTRÄT"]),
    ({"params": {"3.seed": 2**60 + 1}}, [str(2**60 + 1)]),
    ({"params": {"1.t": "\ufb00 \uff37\uff29de"}}, ["ff wide"]),
    ({"params": {"1.t": "half \x00 gone"}}, ["half"]),
    ({"params": {"1.t": "x" * 5_000}}, ["xxxx"]),
]


async def found(store: TaskRepository, **fields: object) -> list[str]:
    selection = Selection(**fields)  # type: ignore[arg-type]
    page = [task.task_id for task in await store.page(selection)]
    assert await store.total(selection) == len(page)
    return page


@pytest.mark.parametrize(("fields", "texts"), SAYS)
async def test_a_text_is_found_whatever_its_case(
    store: TaskRepository, fields: dict[str, object], texts: list[str]
) -> None:
    task = await add(store, **fields)
    await add(store, params={"6.text": "1000 sharpXfocus, a Strase"})
    for text in texts:
        assert await found(store, text=text) == [task.task_id], text


async def test_ids_are_found_by_how_they_begin_and_errors_by_what_they_say(
    store: TaskRepository, database: Database
) -> None:
    process = Process(database)
    task = await add(store)
    other = (await store.add([NewTask(f"ffffffff{task.task_id[8:]}", {"1": {}})]))[0]
    assert await found(store, text=task.task_id[:10].upper()) == [task.task_id]
    assert await found(store, text=task.task_id[9:]) == []
    claim = await process.claim()
    assert claim
    error = TaskError("execution_error", "Größe passt nicht", class_type="VAEDecode")
    await process.claims.settle(claim.task, Failed(error), [])
    assert await found(store, text="GRÖSSE") == [claim.task.task_id]
    assert await found(store, text="vaedecode", statuses=[Status.FAILED]) == [claim.task.task_id]
    await store.delete([claim.task.task_id])
    assert await found(store, text="größe") == []
    assert other.task_id in await found(store)


@pytest.mark.parametrize("stands_still", [False, True])
async def test_pages_and_totals_go_on_under_every_filter(
    store: TaskRepository, monkeypatch: pytest.MonkeyPatch, stands_still: bool
) -> None:
    if stands_still:
        stop_clock(monkeypatch)
    tasks: list[Task] = []
    for number in range(12):
        workflow = f"{number % 2}.json"
        tasks.append(await add(store, filename=workflow, params={"t": f"fox {number % 3}"}))
    filters = [
        ({"workflow": "1.json"}, lambda n: n % 2 == 1),
        ({"text": "FOX 2"}, lambda n: n % 3 == 2),
        ({"text": "fox 0", "workflow": "0.json"}, lambda n: n % 6 == 0),
        ({"since": tasks[3].created_at}, lambda n: n >= 3),
        ({"since": tasks[2].created_at, "until": tasks[7].created_at}, lambda n: 2 <= n <= 7),
    ]
    for fields, fits in filters:
        wanted = [task.task_id for n, task in enumerate(tasks) if fits(n)][::-1]
        selection, got, before = Selection(**fields), [], None  # type: ignore[arg-type, var-annotated]
        while page := await store.page(selection, limit=2, before=before):
            got += [task.task_id for task in page]
            before = page[-1].seq
        assert got == wanted, fields
        assert await store.total(selection) == len(wanted)


async def test_texts_that_an_older_gateway_left_are_written_over(
    store: TaskRepository, database: Database
) -> None:
    """It deletes tasks without them, and SQLite gives the number of the newest one again."""
    seq = (await add(store)).seq + 1
    left = insert(task_texts).values(seq=seq, text="of a former one")
    await database.write(lambda connection: connection.execute(left))
    task = await add(store, params={"t": "fox"})
    assert task.seq == seq
    assert await found(store, text="fox") == [task.task_id]
    assert await found(store, text="former") == []


async def test_texts_whose_task_is_gone_are_removed(
    store: TaskRepository, database: Database
) -> None:
    kept = await add(store, params={"t": "fox"})
    left = insert(task_texts)
    rows = [{"seq": kept.seq + 10 + number, "text": "of a former one"} for number in range(1200)]
    await database.write(lambda connection: connection.execute(left, rows))
    await Tidying(database).tidy()
    seqs = await database.read(lambda c: list(c.scalars(select(task_texts.c.seq))))
    assert seqs == [kept.seq]
    assert await found(store, text="fox") == [kept.task_id]


async def test_another_keys_tasks_are_not_found(store: TaskRepository, database: Database) -> None:
    await add(store, owner="a", params={"t": "secret word"})
    for name, count in (("a", 1), ("b", 0)):
        caller = Caller(AccessLevel.RUN, name, visible_owner=name)
        seen = TaskRepository(TaskTable(database), caller)
        assert len(await found(seen, text="secret")) == count
        assert len(await found(seen)) == count


async def test_the_api_filters_and_counts(gateway: RunningGateway) -> None:
    client = gateway.http
    first = await gateway.submit(model_free(1), metadata={"who": "Ärger"})
    second = await gateway.submit(model_free(2))

    async def asked(query: str, path: str = "tasks") -> list[str]:
        answer = (await client.get(f"/api/{path}?total=true&{query}")).json()
        assert answer["total"] == len(answer["tasks"]), answer
        assert answer["total_is_capped"] is False
        return [task["task_id"] for task in answer["tasks"]]

    for path in ("tasks", "history"):
        assert await asked("q=%C3%A4RGER", path) == [first["task_id"]]
        assert await asked(f"since={second['created_at']}", path) == [second["task_id"]]
        assert await asked(f"until={first['created_at']}", path) == [first["task_id"]]
        assert await asked("until=9999-12-31", path) == await asked("until=2999-12-31", path)
        assert await asked("since=0&until=2999-12-31", path) == [
            second["task_id"],
            first["task_id"],
        ]
        assert await asked("workflow=none.json", path) == []
    assert "total" not in (await client.get("/api/tasks")).json()
    page = (await client.get("/api/tasks?limit=1&total=true&q=")).json()
    assert (page["total"], len(page["tasks"])) == (2, 1)


@pytest.mark.parametrize(
    "query",
    [
        *("since=yesterday", "until=1700000000000", "since=2026-13-01", "since=20&until=10"),
        *("since=nan", f"q={'x' * 201}", "total=perhaps"),
    ],
)
async def test_what_is_no_filter_is_refused_by_name(gateway: RunningGateway, query: str) -> None:
    answer = await gateway.http.get(f"/api/tasks?{query}")
    assert answer.status_code == 422
    assert query.partition("=")[0] in answer.json()["detail"]
