"""Turns: in order, but never for long."""

import asyncio

from app.servers.fifo_lock import FifoLock


async def test_who_asks_first_goes_first() -> None:
    fifo_lock, order = FifoLock(), []
    first_may_end = asyncio.Event()

    async def go(name: str) -> None:
        async with fifo_lock.next():
            if name == "first":
                await first_may_end.wait()
            order.append(name)

    going = [asyncio.create_task(go(name)) for name in ("first", "second", "third")]
    await asyncio.sleep(0)
    first_may_end.set()
    await asyncio.gather(*going)
    assert order == ["first", "second", "third"]


async def test_nobody_waits_for_long_for_one_that_hangs() -> None:
    fifo_lock = FifoLock(max_wait=0.01)
    async with fifo_lock.next(), fifo_lock.next():
        pass
    async with fifo_lock.next():  # what was never had is not given back
        assert fifo_lock._lock.locked()
