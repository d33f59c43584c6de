"""What is told of tasks as they are added, on both databases."""

from uuid import uuid4

import pytest

from app.db.engine.database import Database
from app.db.lease import Lease
from app.db.queue import Queue
from app.db.tasks import TaskRepository, TaskTable
from app.errors import QueueFull
from app.tasks.model import NewTask, Task
from app.workflows.requirements import Needs, requirements_of
from tests.conftest import EVERYBODY

PROMPT = {"1": {"class_type": "A", "inputs": {}}}
MISSING = requirements_of(Needs(frozenset({"Missing"})))


def new(**fields: object) -> NewTask:
    return NewTask(task_id=str(uuid4()), prompt=PROMPT, **fields)  # type: ignore[arg-type]


async def add(store: TaskRepository, number: int = 1, **fields: object) -> list[Task]:
    return await store.add([new(**fields) for _ in range(number)])


@pytest.mark.parametrize("stuck", [(), (MISSING.requirements_id,)])
async def test_tasks_have_the_places_that_they_are_read_with(
    database: Database, store: TaskRepository, stuck: tuple[str, ...]
) -> None:
    Queue(database, Lease("me", 60)).note_stuck(stuck)
    await add(store, 2, expected=1.5, priority=-1)
    added = [
        *await add(store, 2, expected=2.0),
        *await add(store, 3, requirements=MISSING, expected=4.0),
        *await add(store, 2),
        *await add(store, 1, priority=1),
    ]
    # What came later with a higher priority is behind none of the others
    (urgent,) = await add(store, priority=9)
    assert urgent.queue_position is not None
    assert urgent.queue_position.position == 1
    await store.request_cancel(urgent.task_id)
    await store.request_cancel(added.pop().task_id)
    read = await store.several([task.task_id for task in added])
    assert {task.task_id: task.queue_position for task in read} == {
        task.task_id: task.queue_position for task in added
    }
    last = added[-1].queue_position
    assert last is not None
    assert (last.position, last.unknown_ahead) == (7, 1)
    assert last.seconds_ahead == (4.0 if stuck else 16.0)


async def test_what_waits_behind_counts_for_the_limit(database: Database) -> None:
    store = TaskRepository(TaskTable(database, max_queued=3), EVERYBODY)
    await add(store, 2, priority=-5)
    with pytest.raises(QueueFull):
        await add(store, 2)
    await add(store)
    with pytest.raises(QueueFull):
        await add(store)
