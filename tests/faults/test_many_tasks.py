"""Many tasks: memory stays flat and lists stay fast. FAULTS_TASKS=20000 for the long version."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest

from tests.conftest import model_free
from tests.fleet import Gateway, on, stand_ins

TASKS = int(os.environ.get("FAULTS_TASKS", "800"))
# By then caches are warm, and what is kept of the last tasks for streams is full.
WARM = max(TASKS // 10, 500)
# Of about 105 MB: 17 KB for each task after these, with 20,000 tasks 300 bytes for each.
MOST_GROWTH = 1.05
AT_ONCE = 16
MANY, FEW = 20_000, 100


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


@pytest.mark.only_sqlite  # the other one is in benchmarks/replicas.py
async def test_lists_stay_fast(tmp_path: Path) -> None:
    few, many = tmp_path / "few", tmp_path / "many"
    few.mkdir()
    many.mkdir()
    async with (
        stand_ins(tmp_path, 1) as (demo,),
        Gateway(few, *on([demo])) as small,
        Gateway(many, *on([demo])) as large,
    ):
        for gateway, folder, count in ((small, few, FEW), (large, many, MANY)):
            task_id = await gateway.submit(model_free())
            await gateway.until(task_id, "succeeded")
            multiply(folder / "gateway.db", task_id, count)
        # By turns, so that whatever else the machine does slows both.
        times: dict[Gateway, list[float]] = {small: [], large: []}
        for _ in range(50):
            for gateway in times:
                times[gateway].append(await seconds_to_list(gateway))
    slow, fast = median(times[large]), median(times[small])
    assert slow < 2 * fast, f"{slow:.4f} s with {MANY} tasks, {fast:.4f} s with {FEW}"


async def seconds_to_list(gateway: Gateway) -> float:
    begin = time.perf_counter()
    answer = await gateway.http.get("/api/tasks?limit=50")
    duration = time.perf_counter() - begin
    assert len(answer.json()["tasks"]) == 50
    return duration


def multiply(file: Path, task_id: str, count: int) -> None:
    """So many finished tasks out of one: whatever belongs to it, under new ids."""
    # From the first read on nobody else writes; the gateway still may, until then.
    database = sqlite3.connect(file, timeout=60, isolation_level="IMMEDIATE")
    database.execute("CREATE TEMP TABLE new (id TEXT)")
    new = [(str(uuid4()),) for _ in range(count - 1)]
    database.executemany("INSERT INTO new VALUES (?)", new)
    tables = database.execute("SELECT name FROM main.sqlite_master WHERE type = 'table'")
    for (table,) in tables.fetchall():
        columns = database.execute(f"PRAGMA table_info({table})").fetchall()
        # SQLite fills in an integer key; the others are copied.
        kept = [name for _, name, kind, _, _, key in columns if not (key and kind == "INTEGER")]
        if "task_id" in kept:
            chosen = ", ".join("new.id" if name == "task_id" else f'"{name}"' for name in kept)
            quoted = ", ".join(f'"{name}"' for name in kept)
            database.execute(
                f"INSERT INTO {table} ({quoted}) "
                f"SELECT {chosen} FROM {table}, new WHERE task_id = ?",
                (task_id,),
            )
    database.commit()
    assert database.execute("SELECT count(*) FROM tasks").fetchone() == (count,)
    database.close()
