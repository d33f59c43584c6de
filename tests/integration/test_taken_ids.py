"""An id that a deleted task had may be another key's next: neither is told anything of the other's
task, on whatever replica."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import websockets

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over, wait_until
from tests.databases import KINDS, database_url
from tests.keyholders import write_keys
from tests.redis_server import running_redis

Json = dict[str, Any]
MakeSettings = Callable[..., Settings]
SUBMIT = "/api/workflow/submit"


@pytest.fixture(params=KINDS)
async def replicas(
    request: pytest.FixtureRequest, settings_for: MakeSettings, demo: DemoServer, tmp_path: Path
) -> AsyncIterator[tuple[RunningGateway, RunningGateway, dict[str, str]]]:
    """One that clients ask, one that they listen to (on SQLite the same), and the keys' texts."""
    kind = request.param
    async with AsyncExitStack() as stack:
        settings = {"api_keys": str(tmp_path / "keys.json")}
        texts = write_keys(tmp_path / "keys.json", alice="run", bob="run")
        settings["database_url"] = await stack.enter_async_context(database_url(kind, tmp_path))
        if kind != "sqlite":
            server = await stack.enter_async_context(running_redis(tmp_path))
            settings["redis_url"] = server.url
        one = await stack.enter_async_context(over(settings_for, demo, **settings))
        two = one
        if kind != "sqlite":
            two = await stack.enter_async_context(over(settings_for, demo, **settings))
        yield one, two, texts


def client(stack: AsyncExitStack, gateway: RunningGateway, key: str) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {key}"}
    http = httpx.AsyncClient(base_url=f"http://{gateway.address}", headers=headers, timeout=60)
    stack.push_async_exit(http)
    return http


@asynccontextmanager
async def listening(gateway: RunningGateway, key: str) -> AsyncIterator[list[str]]:
    """All that a key is told of tasks."""
    heard: list[str] = []
    address, headers = f"ws://{gateway.address}/ws", {"Authorization": f"Bearer {key}"}

    async def listen(socket: Any) -> None:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for message in socket:
                heard.append(str(message))

    async with websockets.connect(address, additional_headers=headers) as socket:
        task = asyncio.create_task(listen(socket))
        try:
            yield heard
        finally:
            task.cancel()
            await asyncio.wait([task])


async def replayed(http: httpx.AsyncClient, task_id: str) -> str:
    """What a stream that resumes is told until it knows the task's present state."""
    text = ""
    headers = {"Last-Event-ID": "1"}
    async with http.stream("GET", f"/api/task/{task_id}/events", headers=headers) as answer:
        async for line in answer.aiter_lines():
            text += line
            if "of bob" in line:
                return text
    return text


async def test_nobody_is_told_of_the_task_that_had_the_id(
    replicas: tuple[RunningGateway, RunningGateway, dict[str, str]], demo: DemoServer
) -> None:
    one, two, texts = replicas
    demo.knobs.slow, taken = 600, str(uuid4())
    async with (
        AsyncExitStack() as stack,
        listening(two, texts["alice"]) as alice_hears,
        listening(two, texts["bob"]) as bob_hears,
    ):
        alice, bob = client(stack, one, texts["alice"]), client(stack, one, texts["bob"])
        alice_there = client(stack, two, texts["alice"])
        for color in range(2):  # what comes then waits, and no server knows it
            body = {"workflow": model_free(color)}
            held = (await alice.post(SUBMIT, json=body)).json()["task_id"]
            await wait_until(lambda held=held: driven(one, two, held))
        body = {"prompt": model_free(7), "prompt_id": taken, "metadata": {"is": "of alice"}}
        assert (await alice_there.post(SUBMIT, json=body)).status_code == 202
        await wait_until(lambda: any("of alice" in message for message in alice_hears))
        assert (await alice_there.post(f"/api/task/{taken}/cancel")).is_success
        await wait_until(lambda: any(ended(message, taken) for message in alice_hears))
        assert (await alice.delete(f"/api/task/{taken}")).status_code == 204

        body["metadata"] = {"is": "of bob"}
        assert (await bob.post(SUBMIT, json=body)).status_code == 202
        told = await replayed(client(stack, two, texts["bob"]), taken)
        assert "of bob" in told
        assert "of alice" not in told
        await bob.post(f"/api/task/{taken}/cancel")
        await wait_until(lambda: any(ended(message, taken) for message in bob_hears))
        assert "of alice" not in "".join(bob_hears)
        assert "of bob" not in "".join(alice_hears)


def driven(one: RunningGateway, two: RunningGateway, task_id: str) -> bool:
    return any(gateway.gateway.dispatcher.seen(task_id) for gateway in (one, two))


def ended(message: str, task_id: str) -> bool:
    told = json.loads(message)
    return told.get("task_id") == task_id and bool(told.get("finished_at"))
