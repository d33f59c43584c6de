"""Many tasks: memory stays flat. FAULTS_TASKS=20000 for the long version."""

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import model_free
from tests.fleet import Gateway, on, stand_ins

TASKS = int(os.environ.get("FAULTS_TASKS", "800"))
# By then caches are warm, and what is kept of the last tasks for streams is full.
WARM = max(TASKS // 10, 500)
# Of about 105 MB: 17 KB for each task after these, with 20,000 tasks 300 bytes for each.
MOST_GROWTH = 1.05
AT_ONCE = 16


@pytest.mark.skipif(sys.platform != "linux", reason="reads memory from /proc")
async def test_memory_stays_flat(tmp_path: Path) -> None:
    async with (
        stand_ins(tmp_path, 2) as demos,
        Gateway(tmp_path, *on(demos), slots=4) as gateway,
    ):
        await gateway.online(2)
        colors = iter(range(TASKS))
        await run(gateway, colors, WARM)
        early = gateway.memory
        await run(gateway, colors, TASKS - WARM)
        late = gateway.memory
        assert len(await gateway.tasks("succeeded", limit=1000)) == TASKS
    assert late < MOST_GROWTH * early, f"{early} bytes after {WARM} tasks, {late} after {TASKS}"


async def run(gateway: Gateway, colors: Iterator[int], count: int) -> None:
    """Tasks to their ends, some at a time; each makes another picture, so that none is cached."""
    left = iter(range(count))

    async def work() -> None:
        for _ in left:
            workflow = model_free(next(colors))
            answer = await gateway.http.post("/api/workflow/submit?wait=60", json=workflow)
            assert answer.json()["status"] == "succeeded", answer.text

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(work())
