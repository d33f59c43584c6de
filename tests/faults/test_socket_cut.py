"""A socket that does not live longer than a second: results are complete, progress moves."""

import asyncio
from pathlib import Path

from tests.conftest import text_to_image
from tests.fleet import LOOK, Demo, Gateway, on, stand_ins

STEPS, STEP = 14, 0.5
EACH = 1.0  # seconds between two cuts


async def cut_again_and_again(demo: Demo, cuts: list[str]) -> None:
    """By turns in mid-message, and with new ones refused for a while. Until cancelled."""
    while True:
        await asyncio.sleep(EACH)
        await demo.knobs(drop_socket_after=0)
        await asyncio.sleep(EACH)
        if (await demo.knobs(refuse_sockets=True))["drop_socket_after"] is None:
            cuts.append("dropped")
        cuts.append("refused")
        await asyncio.sleep(EACH / 4)
        await demo.knobs(refuse_sockets=False)


async def test_cut_every_second(tmp_path: Path) -> None:
    async with (
        stand_ins(tmp_path, 1, step=STEP) as (demo,),
        Gateway(tmp_path, *on([demo])) as gateway,
    ):
        await gateway.online(1)
        task_id = await gateway.submit(text_to_image(steps=STEPS))
        cuts: list[str] = []
        cutting = asyncio.create_task(cut_again_and_again(demo, cuts))
        seen: list[float] = []
        while (task := await gateway.task(task_id))["status"] in ("queued", "running"):
            seen.append(task["progress"]["value"])
            await asyncio.sleep(LOOK)
        cutting.cancel()
        await asyncio.wait([cutting])
        assert task["status"] == "succeeded", task
        assert await gateway.fetch_outputs(task) == 1
        assert (await demo.executed())[task_id] == {"starts": 1, "endings": ["success"]}
    assert cuts.count("dropped") >= 2, cuts
    assert cuts.count("refused") >= 2, cuts
    assert seen == sorted(seen), "progress went back"
    # One step a turn would be all of them: half of them must be seen in between.
    assert len(set(seen)) > STEPS // 2, seen
