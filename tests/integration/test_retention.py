"""Which results are let go of, on both databases; test_outputs.py has what clients see of it."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest

from app.auth.model import EVERYBODY
from app.db.engine.database import Database
from app.db.tasks import TaskRepository, TaskTable
from app.errors import StorageUnavailable
from app.events.hub import Hub
from app.files.stores.local import LocalStore
from app.files.stores.store import once
from app.scheduler.retention import Limits, Retention
from app.tasks.model import NewTask, Output
from app.tasks.outcome import Succeeded
from app.tasks.webhook import Webhook
from app.webhooks.outbox import Outbox
from app.webhooks.retries import DeliveryStatus, RetryStep
from tests import windows_files
from tests.integration.test_claims import PROMPT, Process

LARGE = 3 << 30  # bytes: more than a column of 32 bits holds


@pytest.fixture
def files(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "outputs")


async def made(database: Database, files: LocalStore, *webhooks: Webhook, size: int = 5) -> str:
    """A task that has succeeded with one file, `size` bytes by its row."""
    new = NewTask(task_id=str(uuid4()), prompt=PROMPT, webhooks=webhooks)
    store, process = TaskRepository(TaskTable(database), EVERYBODY), Process(database)
    await store.add([new])
    claim = await process.claim()
    assert claim is not None
    key = f"{new.task_id}/a.png"
    await files.save(key, once(b"12345"))
    output = Output("1", "image", filename="a.png", key=key, size_bytes=size)
    await process.claims.add_output(new.task_id, output)
    await process.claims.settle(claim.task, Succeeded(), [])
    return new.task_id


def retention(database: Database, files: LocalStore, limits: Limits) -> Retention:
    return Retention(database, files, Hub(), limits, uploads=LocalStore(files.folder / "uploads"))


async def test_what_is_still_to_be_told_is_kept(database: Database, files: LocalStore) -> None:
    hook = Webhook("http://127.0.0.1:1/")
    told = await made(database, files, hook)
    plain = await made(database, files)
    store, outbox = (
        TaskRepository(TaskTable(database), EVERYBODY),
        Outbox(database, "host:1:me", lease_seconds=60),
    )
    sweeper = retention(database, files, Limits(age=-1))

    async def states() -> list[str]:
        return [(await store.get(task_id)).status.value for task_id in (told, plain)]

    assert (await sweeper.sweep(), await states()) == (1, ["succeeded", "expired"])
    assert await outbox.announce() == 1
    assert await sweeper.sweep() == 0, "the delivery is pending"
    delivery = await outbox.claim()
    assert delivery is not None
    assert await sweeper.sweep() == 0
    await outbox.record(delivery, {}, RetryStep(DeliveryStatus.DELIVERED))
    assert (await sweeper.sweep(), await states()) == (1, ["expired", "expired"])
    assert [info async for info in files.files()] == []
    assert await outbox.announce() == 0
    assert len(await outbox.of_task(EVERYBODY, told)) == 1, "what was told is still known"


async def test_who_waits_to_be_told_does_not_shield_others(
    database: Database, files: LocalStore
) -> None:
    oldest = await made(database, files, Webhook("http://127.0.0.1:1/"), size=LARGE)
    next_ = await made(database, files, size=LARGE)
    newest = await made(database, files)
    store = TaskRepository(TaskTable(database), EVERYBODY)
    assert (await store.get(oldest)).outputs[0].size_bytes == LARGE
    assert await retention(database, files, Limits(bytes=LARGE + 5)).sweep() == 1
    states = [(await store.get(task_id)).status.value for task_id in (oldest, next_, newest)]
    assert states == ["succeeded", "expired", "succeeded"]


async def test_a_young_result_is_kept(database: Database, files: LocalStore) -> None:
    await made(database, files)
    assert await retention(database, files, Limits(age=3600)).sweep() == 0


async def test_a_file_that_another_program_has_open_shields_no_others(
    database: Database, files: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows_files.pretend(monkeypatch)
    tasks = [await made(database, files) for _ in range(2)]
    store = TaskRepository(TaskTable(database), EVERYBODY)
    sweeper = retention(database, files, Limits(age=-1))
    async with files.on_disk(f"{tasks[0]}/a.png") as path:
        with path.open("rb"):
            assert await sweeper.sweep() == 1
            assert [(await store.get(id)).status.value for id in tasks] == ["succeeded", "expired"]
    assert await sweeper.sweep() == 1
    assert [info async for info in files.files()] == []


async def test_a_store_that_is_away_is_not_tried_for_each_task(
    database: Database, files: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        await made(database, files)
    tried = []

    async def away(keys: Sequence[str]) -> None:
        tried.append(keys)
        raise StorageUnavailable("It is away.")

    monkeypatch.setattr(files, "delete_all", away)
    monkeypatch.setattr("app.scheduler.retention.MAX_FAILED", 2)
    with pytest.raises(StorageUnavailable):
        await retention(database, files, Limits(age=-1)).sweep()
    assert len(tried) == 3
