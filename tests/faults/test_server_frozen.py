"""A ComfyUI that hangs holds nobody else up, and what it holds goes elsewhere."""

from pathlib import Path

from tests.conftest import text_to_image, wait_until
from tests.fleet import Demo, Gateway, Json, on, stand_ins

STEP = 0.1
SHORT, LONG = 5, 20  # steps
SHORT_TASKS = 8
SLOTS = 2


async def test_two_of_three_freeze(tmp_path: Path) -> None:
    async with (
        stand_ins(tmp_path, 3, step=STEP) as demos,
        Gateway(tmp_path, *on(demos), server_grace=1) as gateway,
    ):
        hanging, stopped, well = demos
        held = await fill(gateway, demos, LONG)
        # One takes requests and does not answer, the other is not even scheduled.
        await hanging.knobs(stall=True, hang=True)
        stopped.freeze()
        short = [
            await gateway.submit(text_to_image(steps=SHORT, seed=100 + number))
            for number in range(SHORT_TASKS)
        ]
        final = await gateway.all_final()
        assert (await hanging.knobs())["hang"]
        for task_id in (*held[hanging.address], *held[stopped.address]):
            assert_moved(final[task_id], well)
        for task_id in (*held[well.address], *short):
            assert final[task_id]["status"] == "succeeded", final[task_id]
            assert len(final[task_id]["attempts"]) == 1, final[task_id]
        first_moved = min(final[id]["attempts"][0]["ended_at"] for id in held[stopped.address])
        done_before = [id for id in short if final[id]["finished_at"] < first_moved]
        assert done_before, "all waited until the frozen server was given up"


async def test_an_idle_one_freezes_and_is_given_tasks(tmp_path: Path) -> None:
    async with (
        stand_ins(tmp_path, 2, step=STEP) as (sick, well),
        Gateway(tmp_path, *on([sick, well]), server_grace=1) as gateway,
    ):
        await gateway.online(2)
        sick.freeze()
        for seed in range(2 * SLOTS):
            await gateway.submit(text_to_image(steps=SHORT, seed=seed))
        # What is known to hang is asked for ten seconds at the most.
        final = await gateway.all_final(30)
    assert {(task["status"], task["server"]) for task in final.values()} == {
        ("succeeded", well.address)
    }


# Nobody cancels there what was given up: a Lost run is requeued and its server forgotten.
async def test_nothing_runs_on_after_the_thaw(tmp_path: Path) -> None:
    """What the frozen server held runs elsewhere now: there it is one run too many."""
    async with (
        stand_ins(tmp_path, 2, step=STEP) as demos,
        Gateway(tmp_path, *on(demos), server_grace=1) as gateway,
    ):
        sick, well = demos
        held = await fill(gateway, demos, 2 * LONG)
        sick.freeze()
        moved = held[sick.address]

        async def given_up() -> bool:
            tasks = [await gateway.task(task_id) for task_id in moved]
            return all(task["attempts"][0]["outcome"] == "lost" for task in tasks)

        await wait_until(given_up, 60)
        sick.thaw()
        final = await gateway.all_final()
        for task_id in moved:
            assert_moved(final[task_id], well)

        async def idle() -> bool:
            return await sick.held() == ([], [])

        await wait_until(idle)
        runs = await sick.executed()
        endings = {task_id: runs.get(task_id, {"endings": []})["endings"] for task_id in moved}
        assert all(ending in ([], ["interrupted"]) for ending in endings.values()), endings


async def fill(gateway: Gateway, demos: list[Demo], steps: int) -> dict[str, list[str]]:
    """Give every server all it may hold; answers the task ids by server, when all run."""
    await gateway.online(len(demos))
    for seed in range(SLOTS * len(demos)):
        await gateway.submit(text_to_image(steps=steps, seed=seed))

    async def full() -> dict[str, list[str]] | None:
        found = {}
        for demo in demos:
            running, pending = await demo.held()
            found[demo.address] = [*running, *pending]
            if len(running) != 1 or len(pending) != SLOTS - 1:
                return None
        return found

    held: dict[str, list[str]] = await wait_until(full)
    return held


def assert_moved(task: Json, to: Demo) -> None:
    assert task["status"] == "succeeded", task
    assert [attempt["outcome"] for attempt in task["attempts"]] == ["lost", "succeeded"], task
    assert task["server"] == to.address, task
