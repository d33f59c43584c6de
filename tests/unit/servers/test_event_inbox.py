"""Events of a server on their way to the run that waits for them."""

import asyncio
import time

from app.servers.event_inbox import EventInbox
from tests.conftest import WAIT


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
    began = time.monotonic()
    while others < before + 5:
        await read()
        assert time.monotonic() < began + WAIT, "it keeps the loop to itself"
    running.cancel()
