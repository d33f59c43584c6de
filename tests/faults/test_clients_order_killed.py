"""The gateway dies while tasks of one client run one after the other: they keep their order."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from tests.conftest import text_to_image
from tests.fleet import Chance, Gateway, on, stand_ins, starts_on

KILLS = 2


@pytest.mark.both_databases
async def test_killed_between_tasks_of_one_client(tmp_path: Path, chance: Chance) -> None:
    made: list[str] = []
    async with stand_ins(tmp_path, 2, step=0.1) as demos:
        async with Gateway(tmp_path, *on(demos)) as gateway:
            for number in range(6):
                body = {"prompt": text_to_image(steps=3, seed=number), "client_id": "krita"}
                answer = await gateway.http.post("/prompt", json=body)
                made.append(answer.json()["prompt_id"])
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0, 1))
                await gateway.kill()
                await gateway.start()
            final = await gateway.all_final()
            assert {task["status"] for task in final.values()} == {"succeeded"}, f"{chance}"
        starts = await starts_on(demos)
    assert [starts[task_id] for task_id in made] == [1] * len(made), f"{chance}"
    for before, after in pairwise(final[task_id] for task_id in made):
        assert before["finished_at"] <= after["started_at"], f"{before} {after} {chance}"
