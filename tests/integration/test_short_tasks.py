"""Start, results and end of a short task are one transaction, and are told in their order."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from app.db.run_times import RunTime
from app.runner import run_record
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.statements import statements

Json = dict[str, Any]
SettingsFor = Callable[..., Settings]


@pytest.fixture
async def gateway(
    demo: DemoServer, settings_for: SettingsFor, url: str
) -> AsyncIterator[RunningGateway]:
    """It has learned how long `model_free` takes; on a busy machine that may be long."""
    async with over(settings_for, demo, database_url=url) as running:
        task = await running.submit(model_free(prefix="b"))
        found = await running.gateway.tasks.get(task["task_id"])
        times = running.gateway.dispatcher._context.run_times
        for _ in range(20):
            times.learn(found.shape, found.server or "", RunTime(0.001, {}))
        yield running


async def told_of(gateway: RunningGateway, workflow: Json, **form: Any) -> list[str]:
    """What subscribers are told of a task from its start on."""
    with gateway.gateway.hub.subscribe() as updates:
        task = await gateway.submit(workflow, wait=0, **form)
        told: list[str] = []
        while not told or told[-1] not in ("succeeded", "failed", "canceled"):
            update = await asyncio.wait_for(updates.get(), 20)
            if update.task_id == task["task_id"]:
                told.append(update.data["status"] if update.type == "status" else update.type)
    return told


async def test_one_transaction_tells_all_in_order(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_record, "LONGEST_WAIT", 20.0)  # however busy the machine is
    with statements() as found:
        told = await told_of(gateway, model_free(prefix="c"))
    assert told == ["queued", "running", "progress", "output", "succeeded"]
    started = [one for one, _ in found if "started_at=" in one and one.startswith("UPDATE")]
    assert len(started) == 1
    assert "finished_at=" in started[0]
    (task, *_) = (await gateway.http.get("/api/tasks")).json()["tasks"]
    times = task["created_at"], task["started_at"], task["finished_at"]
    assert [*times] == sorted(times)
    assert len(task["outputs"]) == 1
    (attempt,) = (await gateway.task(task["task_id"]))["attempts"]
    assert attempt["outcome"] == "succeeded"


async def test_one_that_takes_longer_is_shown_as_running(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.view_hangs = "d_"
    task = await gateway.submit(model_free(prefix="d"), wait=0)
    running = await gateway.until(task["task_id"], "running")
    assert running["outputs"] == []
    demo.knobs.view_hangs = ""
    ended = await gateway.until(task["task_id"], "succeeded")
    assert ended["started_at"] == running["started_at"]
    assert len(ended["outputs"]) == 1


async def test_a_time_limit_counts_from_the_start(gateway: RunningGateway) -> None:
    """So that is written at once."""
    with statements() as found:
        told = await told_of(gateway, model_free(prefix="e"), timeout=60)
    assert [one for one in told if one != "progress"] == [
        *("queued", "running", "output", "succeeded")
    ]
    assert [one for one, _ in found if "started_at=" in one and "finished_at=" not in one]


async def test_a_cancel_before_the_end_is_written(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It came too late, and is not told to run after that."""
    monkeypatch.setattr(run_record, "LONGEST_WAIT", 20.0)
    real = run_record.RunRecord.prepare_end

    async def canceled_meanwhile(record: Any, *, at_once: bool) -> None:
        await real(record, at_once=at_once)
        if record.unsaved:
            await gateway.http.post(f"/api/task/{record.task.task_id}/cancel")

    monkeypatch.setattr(run_record.RunRecord, "prepare_end", canceled_meanwhile)
    told = await told_of(gateway, model_free(prefix="f"))
    assert told == ["queued", "canceling", "output", "succeeded"]
    (task, *_) = (await gateway.http.get("/api/tasks")).json()["tasks"]
    assert task["started_at"] is not None
    assert len(task["outputs"]) == 1


async def test_a_write_that_fails_is_not_repeated(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been committed: the task is taken up again, and has each result once."""
    monkeypatch.setattr(run_record, "LONGEST_WAIT", 0.0)
    real, failed = run_record.RunRecord._write, list[str]()

    async def committed_and_lost(record: Any, unsaved: Any) -> None:
        await real(record, unsaved)
        if not failed:
            failed.append(record.task.task_id)
            raise OSError("the connection was lost")

    monkeypatch.setattr(run_record.RunRecord, "_write", committed_and_lost)
    task = await gateway.submit(model_free(prefix="g"), wait=0)
    ended = await gateway.until(task["task_id"], "succeeded", "failed")
    assert failed == [task["task_id"]]
    assert len(ended["outputs"]) <= 1
    await wait_until(lambda: not gateway.gateway.dispatcher.driven())
