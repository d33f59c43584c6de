"""What one key sends is nowhere in what another key gets: a marker in every field of its requests,
then every route, stream and error that the other can reach is read, on both databases."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from app.config import Settings
from app.demo.server import DemoServer
from app.gate.rules import names
from app.main import create_app, routes_of
from tests.conftest import model_free, wait_until
from tests.integration.test_access_matrix import belongings, filled, picture
from tests.keyholders import Guarded, guarded

MARK = "ZQmarkerQZ"
KEYS = {"alice": "run", "reader": "read", "runner": "run"}

Json = dict[str, Any]


@pytest.fixture
async def gate(
    url: str, settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    own = {"database_url": url, "allow_private_urls": ["127.0.0.1"]}
    async with guarded(settings_for, tmp_path, demo, keys={**KEYS}, **own) as found:
        yield found


def marked(prefix: str) -> Json:
    """A graph with the marker in its texts, its titles and the name of its result."""
    graph = model_free(prefix=f"{MARK}-{prefix}")
    for node in graph.values():
        node["_meta"] = {"title": f"{MARK} title"}
    return graph


async def fill(alice: httpx.AsyncClient) -> list[str]:
    """Every field that a client can fill; the ids of what came of it, without the marker."""
    hook = {
        "url": f"http://127.0.0.1:9/{MARK}?{MARK}={MARK}",
        "headers": {"X-Marker": MARK},
        "secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    }
    common = {"metadata": {MARK: [MARK]}, "webhook": hook}
    ids = []
    for at, more in enumerate(
        (
            {"workflow": marked("one")},
            {"workflow": marked("many"), "batch": {"1.color": [1, 2]}},
            {"workflow": marked("set"), "params": {"3.filename_prefix": f"{MARK}-param"}},
            {"workflow": {"1": {"class_type": MARK, "inputs": {MARK: MARK}}}},
            {"workflow": marked("bad"), "params": {MARK: MARK}},
            {"workflow": marked("faulty") | {"9": {"class_type": MARK, "inputs": {"x": ["1", 0]}}}},
        )
    ):
        key = {"Idempotency-Key": f"{MARK}-{at}"}
        answer = await alice.post("/api/workflow/submit?wait=20", json=common | more, headers=key)
        if answer.is_success:
            found = answer.json()
            ids += [found.get("task_id") or found["batch_id"]]
    upload = {"image": (f"{MARK}.png", picture())}
    assert (await alice.post("/api/image/upload", files=upload)).is_success
    form = {"content_type": "image/png", "file_path": f"{MARK}.png"}
    file = {"file": (f"{MARK}.png", picture())}
    assert (await alice.post("/api/v2/assets", data=form, files=file)).is_success
    assert len(ids) == 3
    return ids


async def read(client: httpx.AsyncClient, method: str, path: str) -> str:
    """All that comes within a moment: a stream does not end by itself."""
    said = b""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5), client.stream(method, path) as answer:
            said += str(answer.headers).encode()
            async for part in answer.aiter_bytes():
                said += part
    return said.decode(errors="replace")


async def listen(gate: Guarded, name: str, heard: list[str]) -> None:
    headers = {"Authorization": f"Bearer {gate.texts[name]}"}
    async with websockets.connect(f"ws://{gate.address}/ws", additional_headers=headers) as socket:
        heard.append("")
        async for message in socket:
            heard.append(message if isinstance(message, str) else message.decode(errors="replace"))


@pytest.mark.parametrize("name", ["reader", "runner"])
async def test_nothing_of_one_key_is_told_to_another(gate: Guarded, name: str) -> None:
    alice, other = await gate.client("alice"), await gate.client(name)
    heard: list[str] = []
    listening = asyncio.create_task(listen(gate, name, heard))
    await wait_until(lambda: heard)
    mine = await belongings(await gate.client("runner"))
    ids = await fill(alice)
    assert MARK in (await alice.get("/api/tasks")).text

    told = {}
    paths = [
        route
        for route in names(routes_of(create_app(gate.gateway.settings)))
        if route.startswith("GET ")
    ]
    paths = [path for path in paths if "/metrics" not in path]
    for route in paths:
        for task_id in (mine["task_id"], *ids):
            path = filled(
                route, mine | {"task_id": task_id, "prompt_id": task_id, "batch_id": task_id}
            )
            told[f"{route} {path}"] = await read(other, "GET", path)
    for task_id in ids:
        for act in ("cancel", "retry"):
            path = f"/api/task/{task_id}/{act}"
            told[path] = await read(other, "POST", path)
    for at in range(6):
        key = {"Idempotency-Key": f"{MARK}-{at}"}
        again = await other.post("/api/workflow/submit", json={"workflow": {}}, headers=key)
        told[f"idempotency {at}"] = again.text
    listening.cancel()
    await asyncio.wait([listening])
    told["WS"] = "".join(heard)
    assert {where for where, text in told.items() if MARK in text} == set()
    assert (await alice.get(f"/api/task/{ids[0]}")).json()["status"] == "succeeded"
