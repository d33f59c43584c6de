"""What one key sends is nowhere in what another key gets: a marker in every field of its requests,
its tasks in every state, then every route, stream and error that the other can reach is read, and
what is told of the other's own tasks, on both databases."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from app.api.access_levels import names
from app.main import create_app
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import model_free, wait_until
from tests.integration.test_access_matrix import belongings, filled, picture
from tests.integration.test_refusals import REFUSAL
from tests.keyholders import Guarded, guarded
from tests.receivers import receiving

MARK = "ZQmarkerQZ"
CLIENT = f"{MARK}-client"  # of ComfyUI's own protocol
KEYS = {"alice": "run", "reader": "read", "runner": "run"}
ENDED = ("succeeded", "failed", "canceled")
HOOK = {
    "url": f"http://127.0.0.1:9/{MARK}?{MARK}={MARK}",
    "headers": {"X-Marker": MARK},
    "secret": "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
}

Json = dict[str, Any]


@pytest.fixture
async def slow() -> AsyncIterator[DemoServer]:
    """On which, from some time on, what runs goes on running, and the rest waits."""
    async with DemoServer(step_seconds=0) as server:
        yield server


@pytest.fixture
async def gate(
    url: str,
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    demo: DemoServer,
    slow: DemoServer,
) -> AsyncIterator[Guarded]:
    own = {"database_url": url, "allow_private_urls": ["127.0.0.1"]}
    async with guarded(settings_for, tmp_path, demo, slow, keys={**KEYS}, **own) as found:
        yield found


def marked(prefix: str) -> Json:
    """A graph with the marker in its texts, its titles and the name of its result."""
    graph = model_free(prefix=f"{MARK}-{prefix}")
    for node in graph.values():
        node["_meta"] = {"title": f"{MARK} title"}
    return graph


class Alice:
    """Fills every field that a client can fill, and brings her tasks into every state."""

    def __init__(self, http: httpx.AsyncClient, demo: DemoServer, slow: DemoServer) -> None:
        self.http, self.demo, self.slow = http, demo, slow
        self.sent = 0

    async def submit(self, *, wait: int = 20, server: str = "", **more: Any) -> httpx.Response:
        """By default where tasks come to their end."""
        body = {"metadata": {MARK: [MARK]}, "webhook": HOOK, "server": server or self.demo.address}
        key = {"Idempotency-Key": f"{MARK}-{self.sent}"}
        self.sent += 1
        path = f"/api/workflow/submit?wait={wait}"
        return await self.http.post(path, json=body | more, headers=key)

    async def files(self) -> None:
        """And what is refused before there is a task."""
        for graph in (
            {"1": {"class_type": MARK, "inputs": {MARK: MARK}}},
            marked("faulty") | {"9": {"class_type": MARK, "inputs": {"x": ["1", 0]}}},
        ):
            assert (await self.submit(workflow=graph)).is_client_error
        refused = await self.submit(workflow=marked("bad"), params={MARK: MARK})
        assert refused.is_client_error
        refused = await self.submit(workflow=marked("hook"), webhook={"url": f"ftp://{MARK}"})
        assert refused.is_client_error
        upload = {"image": (f"{MARK}.png", picture())}
        assert (await self.http.post("/api/image/upload", files=upload)).is_success
        form = {"content_type": "image/png", "file_path": f"{MARK}.png"}
        file = {"file": (f"{MARK}.png", picture())}
        assert (await self.http.post("/api/v2/assets", data=form, files=file)).is_success

    async def ended(self) -> Json:
        """The ids of what came of it, by its state or kind: none holds the marker."""
        knobs, graph = self.demo.knobs, marked("one")
        params = {"3.filename_prefix": f"{MARK}-param"}
        done = {"succeeded": await self.submit(workflow=graph, params=params)}
        path = f"/api/task/{done['succeeded'].json()['task_id']}/retry?wait=60"
        done["retried"] = await self.http.post(path)
        knobs.oom = "SaveImage"
        done["tried again"] = await self.submit(workflow=marked("oom"))
        knobs.fail_node = "SaveImage"
        done["failed"] = await self.submit(workflow=marked("failed"))
        knobs.fail_node = None
        told = json.loads(json.dumps(REFUSAL).replace('"details": ""', f'"details": "{MARK}"'))
        knobs.reject_with = (400, told)
        done["refused"] = await self.submit(workflow=marked("refused"))
        knobs.reject_with = None
        many = await self.submit(workflow=marked("many"), batch={"1.color": [1, 2]})
        ids = {name: answer.json()["task_id"] for name, answer in done.items()}
        body = {"prompt": marked("native"), "client_id": CLIENT}
        ids["of a client"] = (await self.http.post("/prompt", json=body)).json()["prompt_id"]
        await wait_until(lambda: self.status_is(ids["of a client"], "succeeded"))
        return {
            **ids,
            "batch": many.json()["batch_id"],
            "of batch": many.json()["tasks"][0]["task_id"],
        }

    async def unfinished(self) -> Json:
        """The same. Two are on the server, one of them runs; the others wait for it."""
        self.slow.knobs.slow, ids = 600, {}
        for at, name in enumerate(("running", "queued there", "queued", "canceled")):
            graph, server = marked(name) | {"7": model_free(at)["1"]}, self.slow.address
            answer = await self.submit(wait=0, server=server, workflow=graph)
            ids[name] = answer.json()["task_id"]
        await self.http.post(f"/api/task/{ids['canceled']}/cancel")
        await wait_until(lambda: self.status_is(ids["running"], "running"))
        return ids

    async def status_is(self, task_id: str, status: str) -> bool:
        return bool((await self.http.get(f"/api/task/{task_id}")).json()["status"] == status)


class Other:
    """Notes all that it is told, by where."""

    def __init__(self, gate: Guarded, name: str, http: httpx.AsyncClient) -> None:
        self._address, self._key, self.http = gate.address, gate.texts[name], http
        self.told: dict[str, str] = {}

    async def read(self, method: str, path: str, **more: Any) -> None:
        """All that comes within a moment: a stream does not end by itself."""
        said = b""
        with contextlib.suppress(TimeoutError):
            async with (
                asyncio.timeout(0.5 if method == "GET" else 20),
                self.http.stream(method, path, **more) as answer,
            ):
                said += str(answer.headers).encode()
                async for part in answer.aiter_bytes():
                    said += part
        self.told[f"{method} {path} {more}"] = said.decode(errors="replace")

    async def listen(self, name: str, task_ids: list[str] | None = None) -> None:
        """For ever, to all tasks or to these."""
        headers = {"Authorization": f"Bearer {self._key}"}
        address = f"ws://{self._address}/ws"
        async with websockets.connect(address, additional_headers=headers) as socket:
            if task_ids is not None:
                await socket.send(json.dumps({"type": "subscribe", "task_ids": task_ids}))
            self.told[name] = ""
            async for message in socket:
                text = message if isinstance(message, str) else message.decode(errors="replace")
                self.told[name] += text

    async def run_own(self, demo: DemoServer) -> None:
        """Tasks of its own, while the others are there: one with a webhook, one without, a batch,
        one that fails; and all that is told of them."""
        async with receiving() as receiver:
            hook = {"url": receiver.url, "events": ["task.started", *map("task.{}".format, ENDED)]}
            for more in ({"webhook": hook}, {}, {"batch": {"1.color": [1, 2]}}):
                body = {"workflow": model_free(), "server": demo.address, **more}
                answer = await self.http.post("/api/workflow/submit", json=body)
                one = answer.json().get("task_id") or answer.json()["tasks"][-1]["task_id"]
                await self.read("GET", f"/api/task/{one}/events")
                await self.read("GET", f"/api/task/{one}")
                self.told[f"submit {one}"] = answer.text
            demo.knobs.fail_node, body = "SaveImage", {"workflow": model_free(9), "webhook": hook}
            body |= {"server": demo.address}
            await self.read("POST", "/api/workflow/submit?wait=60", json=body)
            demo.knobs.fail_node = None
            await wait_until(lambda: len(receiver.got) == 4)
            self.told["webhooks"] = str(receiver.got)


@pytest.mark.parametrize("name", ["reader", "runner"])
async def test_nothing_of_one_key_is_told_to_another(
    gate: Guarded, demo: DemoServer, slow: DemoServer, name: str
) -> None:
    alice = Alice(await gate.client("alice"), demo, slow)
    other = Other(gate, name, await gate.client(name))
    listening = [asyncio.create_task(other.listen("WS"))]
    await wait_until(lambda: "WS" in other.told)
    await alice.files()
    ids = await alice.ended()  # first: a query that takes any row at all finds one of hers
    mine = await belongings(await gate.client("runner"))
    ids |= await alice.unfinished()
    listening.append(asyncio.create_task(other.listen("WS by ids", [*ids.values()])))
    if name == "runner":
        await other.run_own(demo)

    for path in paths_of(gate, mine, ids):
        await other.read("GET", path)
    await other.read("GET", f"/api/tasks?client_id={CLIENT}")
    for task_id in ids.values():
        await other.read("POST", f"/api/task/{task_id}/cancel")
        await other.read("POST", f"/api/task/{task_id}/retry")
        body = {"workflow": model_free(), "prompt_id": task_id}
        await other.read("POST", "/api/workflow/submit", json=body)
    for at in range(alice.sent):
        key = {"Idempotency-Key": f"{MARK}-{at}"}
        await other.read("POST", "/api/workflow/submit", json={"workflow": {}}, headers=key)
    for task in listening:
        task.cancel()
    await asyncio.wait(listening)
    assert sum(map(len, other.told.values())) > 100_000
    assert {where for where, text in other.told.items() if MARK in text} == set()
    await states_are_as_named(alice, ids)


def paths_of(gate: Guarded, mine: Json, ids: Json) -> set[str]:
    """Of every route: with things of one's own, and with each of the other's ids."""
    routes = names(create_app(gate.gateway.settings).routes)
    routes = [one for one in routes if one.startswith("GET ") and "/metrics" not in one]
    things = [mine]
    things += [mine | dict.fromkeys(("task_id", "prompt_id", "batch_id"), i) for i in ids.values()]
    return {filled(route, some) for route in routes for some in things}


async def states_are_as_named(alice: Alice, ids: Json) -> None:
    states = {}
    for name in (name for name in ids if name != "batch"):
        answer = await alice.http.get(f"/api/task/{ids[name]}")
        assert MARK in answer.text
        states[name] = answer.json()["status"]
    assert states == {
        **dict.fromkeys(
            ("succeeded", "retried", "tried again", "of batch", "of a client"), "succeeded"
        ),
        **dict.fromkeys(("failed", "refused"), "failed"),
        "running": "running",
        "queued there": "queued",
        "queued": "queued",
        "canceled": "canceled",
    }
