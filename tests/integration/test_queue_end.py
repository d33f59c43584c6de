"""A submit counts what waits only if something was written since the last one, whoever wrote it."""

import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import Connection, update

from app.db.cleanup import Tidying
from app.db.engine.database import Database, open_database
from app.db.idempotency import IdempotencyKey
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.tables import tasks
from app.db.tasks import TaskRepository, TaskTable
from app.errors import QueueFull
from app.tasks.model import NewTask, Task
from app.workflows.requirements import Needs, requirements_of
from tests.conftest import EVERYBODY
from tests.statements import statements

MISSING = requirements_of(Needs(frozenset({"Missing"})))


def new(**fields: Any) -> NewTask:
    return NewTask(str(uuid4()), {"1": {"class_type": "A", "inputs": {}}}, **fields)


async def sqlite(folder: Path) -> Database:
    return await open_database(f"sqlite:///{folder}/tasks.db")


async def test_nothing_is_counted_twice(tmp_path: Path) -> None:
    database = await sqlite(tmp_path)
    store = TaskRepository(TaskTable(database), EVERYBODY)
    with statements() as first:
        await store.add([new()])
    with statements() as second:
        (task,) = await store.add([new()])
    await database.close()
    assert [one.split()[0] for one, _ in second] == ["INSERT"] * 3, "prompt, task, its text"
    assert "count(*)" in first[0][0]
    assert task.queue_position
    assert task.queue_position.position == 2


async def counted(store: TaskRepository, added: Task) -> None:
    """It has the place that is counted when it is read."""
    assert (await store.get(added.task_id)).queue_position == added.queue_position


async def fail(database: Database) -> None:
    """Write, and take it back."""

    def work(connection: Connection) -> None:
        connection.execute(update(tasks).values(status="failed", finished_at=1.0))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await database.write(work)


async def add_twice(store: TaskRepository) -> None:
    key = IdempotencyKey(str(uuid4()), "x")
    (first,) = await store.add([new()], key)
    assert (await store.add([new()], key))[0].task_id == first.task_id


async def test_places_are_true_whatever_was_written(database: Database, url: str) -> None:
    """Also by another process, and by what is taken back."""
    store, other = TaskRepository(TaskTable(database), EVERYBODY), await open_database(url)
    elsewhere = TaskRepository(TaskTable(other), EVERYBODY)
    queue, dice = Queue(database, Lease("me", 60)), random.Random(7)
    ids: list[str] = []

    async def add(by: TaskRepository, count: int = 1, **fields: Any) -> None:
        key = dice.choice([None, None, IdempotencyKey(str(uuid4()), "x")])
        added = await by.add([new(**fields) for _ in range(count)], key)
        ids.extend(task.task_id for task in added)
        await counted(by, added[-1])

    async def stick() -> None:
        queue.note_stuck(dice.choice([[], [MISSING.requirements_id]]))

    acts: list[Callable[[], Awaitable[Any]]] = [
        *[lambda: add(store, expected=2.0)] * 4,
        lambda: add(store, 2),
        lambda: add(store, 15),
        lambda: add(store, requirements=MISSING, expected=4.0),
        lambda: add(store, priority=dice.choice([-3, 3])),
        lambda: add(elsewhere, expected=1.0),
        lambda: elsewhere.request_cancels(dice.sample(ids, min(2, len(ids)))),
        lambda: store.request_cancels(dice.sample(ids, min(2, len(ids)))),
        lambda: store.delete(ids[-3:]),
        lambda: Tidying(database).tidy(),
        lambda: fail(database),
        lambda: add_twice(store),
        stick,
    ]
    for _ in range(250):
        await dice.choice(acts)()
    await other.close()


async def test_the_queue_is_full_though_nobody_counts(database: Database) -> None:
    store = TaskRepository(TaskTable(database, max_queued=3), EVERYBODY)
    for _ in range(3):
        await store.add([new()])
    with pytest.raises(QueueFull):
        await store.add([new()])
