"""Turns: in order, but never for long."""

import asyncio

from app.servers.fifo_lock import Turns


async def test_who_asks_first_goes_first() -> None:
    turns, order = Turns(), []
    first_may_end = asyncio.Event()

    async def go(name: str) -> None:
        async with turns.next():
            if name == "first":
                await first_may_end.wait()
            order.append(name)

    going = [asyncio.create_task(go(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    first_may_end.set()
    await asyncio.gather(*going)
    assert order == ["first", "second", "third"]


async def test_nobody_waits_for_long_for_one_that_hangs() -> None:
    turns = Turns(patience=0.01)
    async with turns.next(), turns.next():
        pass
    async with turns.next():  # what was never had is not given back
        assert turns._lock.locked()
