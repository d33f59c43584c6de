"""A ComfyUI dies for good, or comes back knowing nothing: its tasks run again, once."""

from pathlib import Path

import pytest

from tests.conftest import text_to_image, wait_until
from tests.fleet import Chance, Demo, Gateway, on, stand_ins, starts_on

TASKS = 60
WAITING = 5


async def test_one_of_three_dies_in_mid_run(tmp_path: Path, chance: Chance) -> None:
    async with (
        stand_ins(tmp_path, 3, step=0.1) as (dead, *alive),
        Gateway(tmp_path, *on([dead, *alive]), server_grace=1) as gateway,
    ):
        tasks = [await gateway.submit(text_to_image(steps=3, seed=n)) for n in range(TASKS)]
        ran_there = await executed_until_busy(dead, chance.randint(3, 10))
        await dead.kill()
        final = await gateway.all_final()
        starts = await starts_on(alive)
    assert {task["status"] for task in final.values()} == {"succeeded"}, chance
    assert set(final) == set(tasks)
    lost = {id for id, task in final.items() if task["attempts"][0]["outcome"] == "lost"}
    assert lost, f"the server died while it had nothing to do {chance}"
    for task_id, task in final.items():
        if task_id in lost:
            assert_told(task, dead)
            assert starts[task_id] == 1, f"{task} {chance}"
        else:
            assert len(task["attempts"]) == 1, f"{task} {chance}"
            assert starts[task_id] == (task["server"] != dead.address), f"{task} {chance}"
    twice = {id for id, run in ran_there.items() if run["starts"] + starts[id] > 1}
    assert twice <= lost, chance
    assert max(run["starts"] + starts[id] for id, run in ran_there.items()) <= 2, chance


async def executed_until_busy(demo: Demo, done: int) -> dict[str, dict]:
    """What it has run when so many have ended there and one is running."""

    async def busy() -> dict[str, dict] | None:
        runs = await demo.executed()
        under_way = [run for run in runs.values() if not run["endings"]]
        return runs if len(runs) > done and under_way else None

    return await wait_until(busy)


def assert_told(task: dict, dead: Demo) -> None:
    """Its attempts tell that it was lost there and then run elsewhere."""
    first, second = task["attempts"]
    assert (first["server"], first["outcome"]) == (dead.address, "lost"), task
    assert first["started_at"] <= first["ended_at"] <= second["started_at"], task
    assert first["reason"], task
    assert second["server"] == task["server"] != dead.address, task
    assert second["outcome"] == "succeeded", task


@pytest.mark.parametrize("killed", [False, True], ids=["restarted", "killed"])
async def test_back_without_its_queue(tmp_path: Path, killed: bool) -> None:
    async with (
        stand_ins(tmp_path, 1) as (demo,),
        Gateway(tmp_path, *on([demo]), slots=WAITING + 1) as gateway,
    ):
        await demo.knobs(stall=True)
        for seed in range(WAITING + 1):
            await gateway.submit(text_to_image(steps=2, seed=seed))

        async def waiting() -> bool:
            running, pending = await demo.held()
            return (len(running), len(pending)) == (1, WAITING)

        await wait_until(waiting)
        if killed:
            await demo.kill()
            await demo.start()
        else:
            await demo.restart_empty()
            await demo.knobs(stall=False)  # only now: nothing may end before it is forgotten
        final = await gateway.all_final()
        assert len(final) == WAITING + 1
        for task in final.values():
            assert task["status"] == "succeeded", task
            assert [a["outcome"] for a in task["attempts"]] == ["lost", "succeeded"], task
            assert await gateway.fetch_outputs(task) == 1
