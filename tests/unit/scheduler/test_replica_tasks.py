"""What other replicas drive, as it is read."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app.db.run_times import RunTimes
from app.events.hub import Hub
from app.scheduler import replica_tasks
from app.scheduler.replica_tasks import ReplicaTasks
from app.servers.pool import Pool


async def test_an_overtaken_reading_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though both began at one time of the clock, which stands still on Windows for 1/64 s."""
    monkeypatch.setattr(replica_tasks, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    answers: list[asyncio.Future[Any]] = []

    async def rows() -> Any:
        answers.append(asyncio.get_running_loop().create_future())
        return await answers[-1]

    pool = Pool(["127.0.0.1:1"], slots=1)
    store = cast(Any, SimpleNamespace(rows=rows))
    peers = ReplicaTasks(store, pool, cast(Hub, None), cast(RunTimes, None))
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(peers.refresh())
        await asyncio.sleep(0)
        first, second = answers
        second.set_result([{"server": "newer"}])
        await asyncio.sleep(0)
        first.set_result([{"server": "older"}])
    assert set(peers._rows) == {"newer"}
