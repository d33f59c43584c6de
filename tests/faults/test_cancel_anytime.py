"""Cancels at random moments, among strangers' prompts: ours end, theirs are left alone."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from tests.conftest import text_to_image, wait_until
from tests.fleet import Chance, Demo, Gateway, Json, on, stand_ins

TASKS = 120
AT_ONCE = 12
STRANGERS = 30
STEP = 0.05
ENDED = ("canceled", "succeeded", "failed")


async def test_cancel_at_any_moment(tmp_path: Path, chance: Chance) -> None:
    async with (
        stand_ins(tmp_path, 2, step=STEP) as new,
        Demo(tmp_path, "--step-seconds", str(STEP), "--no-jobs-api") as old,
        Gateway(tmp_path, *on([*new, old])) as gateway,
    ):
        demos = [*new, old]
        await gateway.online(len(demos))
        strangers = {str(uuid4()): chance.choice(demos) for _ in range(STRANGERS)}
        seeds = iter(range(TASKS))
        async with asyncio.TaskGroup() as group:
            group.create_task(visit(strangers, chance))
            for _ in range(AT_ONCE):
                group.create_task(submit_and_cancel(gateway, seeds, chance))
        final = await gateway.all_final()
        assert len(final) == TASKS
        for demo in demos:
            running, pending = await demo.held()
            assert not final.keys() & {*running, *pending}, f"left on a server {chance}"
            theirs = [prompt_id for prompt_id, there in strangers.items() if there is demo]
            await assert_left_alone(demo, theirs, chance)
            await assert_ends_fit(demo, final, chance)
        assert (await old.records())["interrupts"], f"nothing was canceled while it ran {chance}"
    counts = Counter(task["status"] for task in final.values())
    assert set(counts) == {"canceled", "succeeded"}, f"{counts} {chance}"
    # Otherwise the moments would not have been all over a task's life.
    assert min(counts.values()) > TASKS / 20, f"{counts} {chance}"


async def visit(strangers: dict[str, Demo], chance: Chance) -> None:
    for prompt_id, demo in strangers.items():
        await demo.queue_strangers(prompt_id, text_to_image(steps=4, seed=chance.randrange(10**9)))
        await asyncio.sleep(chance.uniform(0, 0.5))


async def submit_and_cancel(gateway: Gateway, seeds: Iterator[int], chance: Chance) -> None:
    for seed in seeds:
        task_id = await gateway.submit(text_to_image(steps=chance.randint(1, 10), seed=seed))
        await come_to(chance.choice([0, chance.uniform(0, 1.1)]), gateway, task_id)
        await asyncio.sleep(chance.uniform(0, STEP))
        answer = await gateway.http.post(f"/api/task/{task_id}/cancel")
        assert answer.status_code == 200, answer.text
        await gateway.until(task_id, *ENDED)


async def come_to(progress: float, gateway: Gateway, task_id: str) -> None:
    """Wait until the task has come so far, however long that takes here; above 1 to its end."""

    async def has() -> bool:
        task = await gateway.task(task_id)
        return task["status"] in ENDED or task["progress"]["value"] >= progress

    await wait_until(has)


async def assert_left_alone(demo: Demo, strangers: list[str], chance: Chance) -> None:
    async def over() -> bool:
        return await demo.held() == ([], [])

    await wait_until(over)
    records = await demo.records()
    for prompt_id in strangers:
        assert records["executed"][prompt_id] == {"starts": 1, "endings": ["success"]}, chance
    assert None not in records["interrupts"], f"a bare interrupt {chance}"
    assert not set(records["interrupts"]) & set(strangers), chance


async def assert_ends_fit(demo: Demo, final: dict[str, Json], chance: Chance) -> None:
    """What we call canceled did not succeed there, and the other way round."""
    for prompt_id, run in (await demo.executed()).items():
        if task := final.get(prompt_id):
            fits = {"canceled": ["interrupted"], "succeeded": ["success"]}
            assert run["endings"] == fits.get(task["status"]), f"{run} {task} {chance}"
            assert task["error"] is None, f"{task} {chance}"
