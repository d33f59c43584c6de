"""A gateway whose Redis is away: its live streams end and there are none, all else goes on."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.redis import connect as redis_at
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import WAIT, RunningGateway, model_free, over, text_to_image, wait_until
from tests.integration.test_streams import sse
from tests.redis_server import RedisServer

pytestmark = pytest.mark.service

Json = dict[str, Any]
ENDS = ("succeeded", "failed", "canceled")


@pytest.fixture
async def shared(
    redis: RedisServer, demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    async with over(settings_for, demo, redis_url=redis.url) as gateway:
        await wait_until(lambda: not gateway.gateway.hub.interruption)
        yield gateway


async def running(gateway: RunningGateway, demo: DemoServer, steps: int = 400) -> str:
    demo.knobs.step_seconds = 0.05
    task_id: str = (await gateway.submit(text_to_image(steps=steps), wait=0))["task_id"]
    await gateway.until(task_id, "running")
    return task_id


async def events_of(gateway: RunningGateway, url: str, into: list[Json]) -> None:
    async for event in sse(gateway.http, url):
        into.append(event)


async def read_on(gateway: RunningGateway, opened: asyncio.Event) -> None:
    """Raises ConnectionClosed."""
    async with connect(f"ws://{gateway.address}/ws") as socket:
        while True:
            await socket.recv()
            opened.set()


async def test_every_stream_ends_when_redis_is_lost(
    shared: RunningGateway, demo: DemoServer, redis: RedisServer
) -> None:
    task_id = await running(shared, demo)
    urls = f"/api/task/{task_id}/events", f"/api/v2/jobs/{task_id}/events"
    told: list[list[Json]] = [[], []]
    opened = asyncio.Event()
    streams = [
        asyncio.create_task(events_of(shared, url, into))
        for url, into in zip(urls, told, strict=True)
    ]
    socket = asyncio.create_task(read_on(shared, opened))
    await wait_until(lambda: all(told) and opened.is_set())
    await redis.kill()
    async with asyncio.timeout(WAIT):
        await asyncio.gather(*streams)
        with pytest.raises(ConnectionClosed) as closed:
            await socket
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
    assert "connect again" in closed.value.rcvd.reason
    for events in told:
        assert events[-1]["data"].get("status") not in ENDS
    assert (await shared.task(task_id))["status"] == "running", "the task goes on"


async def test_there_are_no_streams_while_redis_is_away_and_all_else_goes_on(
    shared: RunningGateway, demo: DemoServer, redis: RedisServer
) -> None:
    task_id = await running(shared, demo, steps=20)
    await redis.kill()
    await wait_until(lambda: shared.gateway.hub.interruption)
    refused = await shared.http.get(f"/api/task/{task_id}/events")
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["code"] == "live_updates_unavailable"
    assert int(refused.headers["retry-after"]) > 0
    refused = await shared.http.get(f"/api/v2/jobs/{task_id}/events")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "too_many_streams"
    assert int(refused.headers["retry-after"]) > 0
    with pytest.raises(InvalidStatus) as handshake:
        await connect(f"ws://{shared.address}/ws")
    assert handshake.value.response.status_code == 503
    health = (await shared.http.get("/api/health")).json()
    assert (health["status"], "Redis" in health["reason"]) == ("degraded", True)
    for said in (health["reason"], refused.json()["error"]["message"]):
        assert "live streams are refused until it is back; polls go on" in said
    await shared.until(task_id, "succeeded")
    assert (await shared.submit(model_free()))["status"] == "succeeded", "?wait= waits as ever"
    assert (await shared.http.get("/api/ready")).status_code == 200


async def test_who_resumes_when_redis_is_back_misses_nothing(
    shared: RunningGateway, demo: DemoServer, redis: RedisServer
) -> None:
    task_id = await running(shared, demo, steps=30)
    url, before, after = f"/api/task/{task_id}/events", [], []
    stream = asyncio.create_task(events_of(shared, url, before))
    await wait_until(lambda: before)
    await redis.kill()
    await stream
    await shared.until(task_id, "succeeded")
    await redis.start()
    await wait_until(lambda: not shared.gateway.hub.interruption)
    async for event in sse(shared.http, url, before[-1]["id"]):
        after.append(event)
    assert after[-1]["data"] == await shared.task(task_id)
    ids = [int(event["id"]) for event in [*before, *after]]
    assert ids == sorted(ids)
    outputs = [event["data"] for event in [*before, *after] if event["event"] == "output"]
    assert outputs == (await shared.task(task_id))["outputs"]
    async with connect(f"ws://{shared.address}/ws") as socket:
        await socket.send('{"type": "ping"}')
        while json.loads(await socket.recv())["type"] != "pong":
            pass


async def test_a_reset_of_the_connection_closes_a_stream_once(
    shared: RunningGateway, redis: RedisServer
) -> None:
    async with redis_at(redis.url) as admin, connect(f"ws://{shared.address}/ws") as socket:
        await wait_until(lambda: shared.gateway.hub.subscribers)
        await admin.client_kill_filter(_type="normal", skipme=True)
        with pytest.raises(ConnectionClosed):
            await socket.recv()
    await wait_until(lambda: not shared.gateway.hub.interruption)
    async with connect(f"ws://{shared.address}/ws") as again:
        task = await shared.submit(model_free())
        async with asyncio.timeout(WAIT):
            while json.loads(await again.recv()).get("status") != task["status"]:
                pass
