"""The pool of servers: its start and end, and the node types of its servers."""

import asyncio
from contextlib import suppress
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import pytest

from app.servers import pool as pools
from app.servers import server as servers
from app.servers.pool import Pool
from app.servers.server import Health


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


async def test_a_reload_of_before_is_not_taken_for_one_of_now(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though the clock stands still, as it does on Windows for 1/64 s."""
    for module in (pools, servers):
        monkeypatch.setattr(
            module, "time", SimpleNamespace(monotonic=lambda: 1000.0, perf_counter=perf_counter)
        )
    pool, told = Pool(["127.0.0.1:1"], slots=1), iter(({"A": {}}, {"B": {}}))
    (server,) = pool

    async def object_info() -> Any:
        return next(told)

    monkeypatch.setattr(server, "health", Health(online=True))
    monkeypatch.setattr(server, "client", SimpleNamespace(object_info=object_info))
    assert await pool.refresh(at_once=True)
    assert await pool.refresh(at_once=True)
    assert set(server.node_types) == {"B"}
