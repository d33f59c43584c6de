"""Who follows all tasks hears of the places and ETAs of those that wait, and not too often."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from app.scheduler import stream_reconciler
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, over
from tests.integration.test_expectations import LONG, learnt, waiting

Json = dict[str, Any]
LOOKS = 0.1  # seconds between two


async def heard(socket: ClientConnection, seconds: float) -> list[Json]:
    """All that is told in that time."""
    found: list[Json] = []
    try:
        async with asyncio.timeout(seconds):
            while True:
                found.append(json.loads(await socket.recv()))
    except TimeoutError:
        return found


class Followed:
    """What somebody knows who reads the list once, and follows all from then on."""

    def __init__(self) -> None:
        self.known: dict[str, Json] = {}
        self.messages: Counter[str] = Counter()

    async def read(self, gateway: RunningGateway) -> None:
        listed = (await gateway.http.get("/api/tasks", params={"limit": 1000})).json()["tasks"]
        self.known = {task["task_id"]: task for task in listed}

    async def follow(self, socket: ClientConnection, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT):
            while not done():
                message = json.loads(await socket.recv())
                if message["type"] == "task_update" and message["event"] != "output":
                    self.messages[message["task_id"]] += 1
                    self.known.setdefault(message["task_id"], {}).update(message)

    def places(self, *ids: str) -> list[int | None]:
        return [self.known[id]["queue_position"] for id in ids]


async def test_places_and_etas_are_live_for_who_follows_all(
    settings_for: Callable[..., Settings],
    demo: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
) -> None:
    monkeypatch.setattr(stream_reconciler, "LOOK_INTERVAL", LOOKS)
    async with over(settings_for, demo, slots=1, database_url=url) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        ids = [await waiting(gateway, prefix) for prefix in "abcde"]
        await gateway.until(ids[0], "running")
        async with connect(f"ws://{gateway.address}/ws") as socket:
            page = Followed()
            await page.read(gateway)
            assert page.places(*ids) == [None, 1, 2, 3, 4]
            before = page.known[ids[4]]["eta_seconds"]
            assert (await gateway.http.post(f"/api/task/{ids[1]}/cancel")).is_success
            await page.follow(socket, lambda: page.places(*ids) == [None, None, 1, 2, 3])
            assert page.known[ids[4]]["eta_seconds"] == pytest.approx(before - LONG, abs=20)
            last = await waiting(gateway, "f")
            await page.follow(socket, lambda: last in page.known)
            assert page.places(*ids[2:], last) == [1, 2, 3, 4]

            # The clock alone says the rest: nothing more is told.
            await heard(socket, 3 * LOOKS)
            told = [each for each in await heard(socket, 10 * LOOKS) if "task_id" in each]
            assert {each["task_id"] for each in told} <= {ids[0]}, told

            gateway.gateway.pool.get(demo.address).draining = True
            await page.follow(socket, lambda: bool(page.known[last].get("waiting_for")))
            assert "is draining" in page.known[last]["waiting_for"]
            assert page.known[last]["eta_seconds"] is None


async def test_what_is_told_is_bounded_however_many_wait(
    settings_for: Callable[..., Settings], demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_reconciler, "LOOK_INTERVAL", LOOKS)
    monkeypatch.setattr(stream_reconciler, "QUEUE_HEAD_TASKS", 10)
    async with over(settings_for, demo, slots=1) as gateway:
        await learnt(gateway)
        demo.knobs.stall = True
        ids = [await waiting(gateway, f"{number}") for number in range(60)]
        await gateway.until(ids[0], "running")
        async with connect(f"ws://{gateway.address}/ws") as socket:
            page = Followed()
            await page.read(gateway)
            assert page.places(*ids[1:]) == list(range(1, 60))
            await heard(socket, 3 * LOOKS)
            for id in ids[1:6]:
                await gateway.http.post(f"/api/task/{id}/cancel")
            await page.follow(socket, lambda: page.places(*ids[6:16]) == list(range(1, 11)))
            assert not set(page.messages).intersection(ids[21:])
