"""Servers that have not told their node types, and asking them for these again."""

import asyncio
from typing import Any

import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, wait_until

Json = dict[str, Any]
REFRESH = "/api/nodes?refresh=true"


def telling(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> tuple[Json, list[int]]:
    """What the server tells of its node types from now on, and the number of times it was asked."""
    client = gateway.gateway.pool.get(demo.address).client
    types: Json = {"EmptyImage": {"input": {}, "output": []}}
    asked: list[int] = []

    async def tell() -> Json:
        asked.append(len(asked))
        now = dict(types)
        await asyncio.sleep(0)
        return now

    monkeypatch.setattr(client, "object_info", tell)
    return types, asked


async def test_a_server_that_has_not_told_them_says_so(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    types, _ = telling(gateway, demo, monkeypatch)
    types.clear()
    await gateway.http.get(REFRESH)
    server = (await gateway.http.get(f"/api/servers/{demo.address}")).json()
    assert (server["state"], server["reason"]) == (
        "online",
        "It has not told its node types yet.",
    )
    task = await gateway.submit(model_free(), wait=0)
    assert task["waiting_for"] == f"{demo.address} has not told its node types yet."
    monkeypatch.undo()
    await gateway.http.get(REFRESH)
    server = (await gateway.http.get(f"/api/servers/{demo.address}")).json()
    assert (server["state"], server["reason"]) == ("online", None)


async def test_a_refresh_asks_each_time(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    types, asked = telling(gateway, demo, monkeypatch)
    for number in range(3):
        types[f"New{number}"] = {"input": {}, "output": []}
        found = (await gateway.http.get(REFRESH)).json()
        assert found["total"] == 2 + number
    assert len(asked) == 3


async def test_refreshes_at_once_share_one_that_began_after_all_of_them(
    gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    types, asked = telling(gateway, demo, monkeypatch)
    client = gateway.gateway.pool.get(demo.address).client
    tell, going, go_on = client.object_info, asyncio.Event(), asyncio.Event()

    async def slowly() -> Json:
        found = await tell()
        going.set()
        await go_on.wait()
        return found

    monkeypatch.setattr(client, "object_info", slowly)
    first = asyncio.create_task(gateway.http.get(REFRESH))
    await wait_until(going.is_set)
    types["Late"] = {"input": {}, "output": []}
    others = [asyncio.create_task(gateway.http.get(REFRESH)) for _ in range(10)]
    assert (await gateway.http.get("/api/nodes")).is_success  # the others have come by then
    go_on.set()
    totals = [(await answer).json()["total"] for answer in (first, *others)]
    assert totals[1:] == [2] * 10
    assert 2 <= len(asked) <= 4
