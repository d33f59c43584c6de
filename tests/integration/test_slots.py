"""How many prompts a server holds: more of short ones, and never more than is shown."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app.scheduler import dispatcher
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, over, wait_until

SettingsFor = Callable[..., Settings]


async def most_held(gateway: RunningGateway, address: str, tasks: int) -> tuple[int, int]:
    """Run tasks; return how many the server held at a time, and the most slots."""
    server, dispatcher = gateway.gateway.pool.get(address), gateway.gateway.dispatcher
    ids = [
        (await gateway.submit(model_free(prefix=f"t{number}"), wait=0))["task_id"]
        for number in range(tasks)
    ]
    held = slots = 0
    while any(task_id in dispatcher.driven() for task_id in ids) or held == 0:
        held = max(held, len(dispatcher.running_on(server)))
        slots = max(slots, server.slots)
        assert len(dispatcher.running_on(server)) <= slots
        await asyncio.sleep(0)
    return held, slots


async def test_short_tasks_fill_more_slots_and_long_ones_do_not(
    settings_for: SettingsFor, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0
    async with over(settings_for, demo, max_slots=5) as gateway:
        await gateway.submit(model_free())
        held, slots = await most_held(gateway, demo.address, 30)
        assert held > 2
        assert slots <= 5
        shown = (await gateway.http.get(f"/api/servers/{demo.address}")).json()
        assert shown["slots"] == gateway.gateway.pool.get(demo.address).slots > 2
        demo.knobs.slow = 1  # a second for each node
        await gateway.submit(model_free(prefix="long"))
        assert gateway.gateway.pool.get(demo.address).slots == 2
        demo.knobs.stall = True
        for number in range(8):
            await gateway.submit(model_free(prefix=f"w{number}"), wait=0)
        await wait_until(lambda: len(gateway.gateway.dispatcher.driven()) == 2)
        await asyncio.sleep(0.2)
        assert len(gateway.gateway.dispatcher.driven()) == 2


@pytest.mark.parametrize("setting", [{"slots": 2}, {"max_slots": 2}])
async def test_a_number_that_is_set_is_kept(
    settings_for: SettingsFor, demo: DemoServer, setting: dict[str, Any]
) -> None:
    demo.knobs.step_seconds = 0
    async with over(settings_for, demo, **setting) as gateway:
        await gateway.submit(model_free())
        assert await most_held(gateway, demo.address, 20) == (2, 2)


async def test_nobody_asks_for_work_when_the_queue_was_seen_to_be_empty(
    settings_for: SettingsFor, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is a task left behind that comes in at any moment."""
    monkeypatch.setattr(dispatcher, "IDLE", 600.0)
    demo.knobs.step_seconds = 0
    async with over(settings_for, demo) as gateway:
        queue, asked = gateway.gateway.dispatcher._queue, 0
        assign = queue.assign

        async def counted(*args: Any, **options: Any) -> Any:
            nonlocal asked
            asked += 1
            return await assign(*args, **options)

        queue.assign = counted  # type: ignore[method-assign]
        for number in range(10):
            await gateway.submit(model_free(prefix=f"one{number}"))
        assert asked < 15  # once for each, and now and then; not twice
        many = [gateway.submit(model_free(prefix=f"many{number}")) for number in range(30)]
        async with asyncio.timeout(WAIT):
            done = await asyncio.gather(*many)
        assert {task["status"] for task in done} == {"succeeded"}
