"""Events of a server on their way to the run that waits for them."""

import asyncio

from app.limits.worker_threads import STRETCH
from app.servers.event_inbox import EventInbox


async def test_who_reads_many_events_lets_others_in() -> None:
    inbox, others = EventInbox(), 0

    async def other() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    running = asyncio.create_task(other())

    async def read() -> int:
        inbox.put_nowait("event")
        await inbox.next(1)
        return others

    await asyncio.sleep(0)
    before = others
    began = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() < began + 20 * STRETCH:
        await read()
    assert others - before >= 5
    running.cancel()
