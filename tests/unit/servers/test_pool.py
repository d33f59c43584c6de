"""The pool of servers, while it starts and stops."""

import asyncio
from contextlib import suppress

from app.servers.pool import Pool


async def test_a_server_that_comes_while_the_pool_stops_is_not_watched() -> None:
    pool, added = Pool(["127.0.0.1:1"], slots=1), []

    async def clinging() -> None:
        try:
            await asyncio.Event().wait()
        finally:  # it takes its time, and the pool waits for it
            await asyncio.sleep(0)
            added.append(pool.add("127.0.0.1:2"))

    running = asyncio.create_task(pool.run(lambda: None))
    await asyncio.sleep(0)
    assert pool._group is not None
    pool._group.create_task(clinging())
    await asyncio.sleep(0)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert [server.id for server in added] == ["127.0.0.1:2"]
    assert set(pool._watches) == {"127.0.0.1:1"}
