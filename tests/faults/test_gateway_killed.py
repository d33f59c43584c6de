"""The gateway dies at any moment: every task still runs exactly once."""

import asyncio
import json
from pathlib import Path

import pytest

from tests.conftest import text_to_image
from tests.fleet import Chance, Gateway, on, stand_ins, starts_on

TASKS = 60
KILLS = 2  # on each database


@pytest.mark.both_databases
async def test_killed_again_and_again(tmp_path: Path, chance: Chance) -> None:
    tasks: list[str] = []
    async with stand_ins(tmp_path, 4, step=0.12) as demos:
        async with Gateway(tmp_path, *on(demos)) as gateway:
            for _ in range(KILLS):
                await submit(gateway, TASKS // (KILLS + 1), tasks)
                await asyncio.sleep(chance.choice([0, chance.uniform(0, 2)]))
                await gateway.kill()
                await gateway.start()
                # Also while it is still taking over from the one before.
                await asyncio.sleep(chance.choice([0, chance.uniform(0, 1)]))
            await submit(gateway, TASKS - len(tasks), tasks)
            final = await gateway.all_final()
            statuses = {task_id: final[task_id]["status"] for task_id in tasks}
            assert set(statuses.values()) == {"succeeded"}, f"{statuses} {chance}"
            assert len(final) == TASKS
            for task in final.values():
                assert await gateway.fetch_outputs(task) == 1, f"{task} {chance}"
        starts = await starts_on(demos)
    often = {task_id: final[task_id]["attempts"] for task_id in tasks if starts[task_id] != 1}
    assert not often, f"run never, or more than once: {json.dumps(often)} {chance}"
    assert len(starts) == TASKS


async def submit(gateway: Gateway, count: int, tasks: list[str]) -> None:
    for _ in range(count):
        workflow = text_to_image(steps=3, seed=len(tasks))
        tasks.append(await gateway.submit(workflow))
