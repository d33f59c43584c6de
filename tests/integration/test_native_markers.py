"""What one key sends through ComfyUI's own protocol is nowhere in what another key gets there: a
marker in every field of its prompts, which wait, run and have ended; then every route and socket is
read by the other, who knows the ids and the name of the client. On both databases."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from app.api.access_levels import endpoints_of
from app.api.native.routes import ROUTES
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import model_free, text_to_image, wait_until
from tests.integration.test_access_matrix import picture
from tests.integration.test_native_doors import token_of
from tests.keyholders import Guarded, guarded
from tests.ports import free_port

MARK = "ZQmarkerQZ"
CLIENT = "comfyui-mcp"  # what programs with a fixed id have in common
KEYS = {"alice": "run", "reader": "read", "runner": "run"}

Json = dict[str, Any]


@pytest.fixture
async def gate(
    url: str, settings_for: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[Guarded]:
    ports = [f"{free_port()}:reader", f"{free_port()}:runner"]
    async with (
        DemoServer(step_seconds=0, preview_method="auto") as demo,
        guarded(
            settings_for, tmp_path, demo, keys={**KEYS}, database_url=url, native_ports=ports
        ) as found,
    ):
        found.demo = demo  # type: ignore[attr-defined]
        yield found


def prompt_of(graph: Json, prefix: str) -> Json:
    """A body with the marker wherever a client may write something."""
    for node in graph.values():
        node["_meta"] = {"title": f"{MARK} title"}
        if "filename_prefix" in node["inputs"]:
            node["inputs"]["filename_prefix"] = f"{MARK}-{prefix}"
    extra = {
        "extra_pnginfo": {"workflow": {MARK: MARK}},
        "api_key_comfy_org": f"{MARK}-key",  # struck out wherever it stands
        "auth_token_comfy_org": f"{MARK}-token",
        MARK: [MARK],
    }
    return {"prompt": graph, "client_id": CLIENT, "prompt_id": str(uuid4()), "extra_data": extra}


class Alice:
    """Posts prompts, and brings them into every state."""

    def __init__(self, http: httpx.AsyncClient, demo: DemoServer) -> None:
        self.http, self.demo = http, demo
        self.bodies: dict[str, Json] = {}

    async def post(self, name: str, graph: Json) -> str:
        body = self.bodies[name] = prompt_of(graph, name.replace(" ", ""))
        headers = {"Comfy-Usage-Source": MARK, "User-Agent": MARK}
        answer = await self.http.post("/prompt?clientId=" + MARK, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    async def ended(self, prompt_id: str) -> Json:
        async def entry() -> Json | None:
            history: Json = (await self.http.get(f"/history/{prompt_id}")).json()
            return history.get(prompt_id)

        return await wait_until(entry)

    async def fill(self) -> dict[str, str]:
        """The ids, by what became of them."""
        ids = {"succeeded": await self.post("succeeded", text_to_image(text=MARK))}
        await self.ended(ids["succeeded"])
        self.demo.knobs.fail_node = "SaveImage"
        ids["failed"] = await self.post("failed", model_free(2))
        await self.ended(ids["failed"])
        self.demo.knobs.fail_node = None
        refused = await self.http.post(
            "/prompt", json=prompt_of({"1": {"class_type": MARK, "inputs": {MARK: MARK}}}, "bad")
        )
        assert refused.is_client_error
        for path in uploads():
            form = {"subfolder": f"{MARK}/{MARK}", "type": "input"}
            files = {"image": (f"{MARK}.png", picture())}
            answer = await self.http.post(path.removeprefix("/comfy"), data=form, files=files)
            if path.endswith("image"):
                assert answer.status_code == 200, answer.text
        self.demo.knobs.slow = 600
        for number, name in enumerate(("running", "waiting")):
            ids[name] = await self.post(name, model_free(3 + number))
        await wait_until(lambda: self.runs(ids["running"]))
        return ids

    async def runs(self, prompt_id: str) -> bool:
        queue = (await self.http.get("/queue")).json()
        return any(row[1] == prompt_id for row in queue["queue_running"])

    async def files(self, prompt_id: str) -> list[Json]:
        """The results of a prompt, and the upload, as `/view` is asked for them."""
        outputs = (await self.ended(prompt_id))["outputs"].values()
        upload = {"filename": f"{MARK}.png", "subfolder": f"{MARK}/{MARK}", "type": "input"}
        return [upload, *(image for node in outputs for image in node["images"])]

    async def states(self) -> Json:
        queue = (await self.http.get("/queue")).json()
        return {
            "running": [row[1] for row in queue["queue_running"]],
            "waiting": [row[1] for row in queue["queue_pending"]],
            "history": sorted((await self.http.get("/history")).json()),
        }


def uploads() -> list[str]:
    return [each.path for each in endpoints_of(ROUTES) if each.path.startswith("/comfy/upload/")]


def reads(ids: dict[str, str]) -> Iterator[str]:
    """Every read, with each of the ids where one belongs."""
    for each in endpoints_of(ROUTES):
        if each.method != "GET" or "{rest" in each.path:
            continue
        path = each.path.removeprefix("/comfy")
        for prompt_id in ids.values() if "{" in path else [""]:
            before, _, after = path.partition("{")
            filled = before + (prompt_id if after else "") + after.partition("}")[2]
            yield filled
            yield f"{filled}?clientId={CLIENT}&max_items=50&limit=50"
    for prompt_id in ids.values():
        yield f"/history?prompt_id={prompt_id}"
        yield f"/view?filename=fox_00001_.png&subfolder={prompt_id}"


def writes(bodies: dict[str, Json], ids: dict[str, str]) -> Iterator[tuple[str, Json]]:
    """What would change something of hers, and what asks by her ids."""
    yield "/queue", {"delete": [*ids.values()]}
    yield "/queue", {"clear": True}
    yield "/interrupt", {}
    yield "/interrupt", {"client_id": CLIENT}
    yield "/history", {"delete": [*ids.values()]}
    yield "/history", {"clear": True}
    for prompt_id in ids.values():
        yield "/interrupt", {"prompt_id": prompt_id}
        yield "/prompt", {"prompt": model_free(), "prompt_id": prompt_id, "client_id": CLIENT}
        yield f"/api/jobs/{prompt_id}/cancel", {}
    yield "/api/jobs/cancel", {"job_ids": [*ids.values()]}


class Other:
    """Reads and changes what it can, by every door, and notes all that it is told by where."""

    def __init__(self, gate: Guarded, name: str, mine: httpx.AsyncClient, bare: httpx.AsyncClient):
        port = next(one for one in gate.gateway.settings.native_ports if one.endswith(name))
        place, below = f"127.0.0.1:{port.partition(':')[0]}", f"/comfy/~{token_of(gate, name)}"
        key, socket = {"X-API-Key": gate.texts[name]}, f"/ws?clientId={CLIENT}"
        self.doors = {
            "root": (mine, ""),
            "path": (mine, "/comfy"),
            "token": (bare, below),
            "port": (bare, f"http://{place}"),
        }
        self.sockets: dict[str, tuple[str, Json | None]] = {
            "root": (f"ws://{gate.address}{socket}", key),
            "token": (f"ws://{gate.address}{below}{socket}", None),
            "port": (f"ws://{place}{socket}", None),
            "no id": (f"ws://{gate.address}/comfy/ws", key),
        }
        self.told: dict[str, str] = {}
        self.heard: dict[str, str] = {}

    async def listen(self, where: str) -> None:
        flags = {"supports_preview_metadata": where == "root"}
        url, headers = self.sockets[where]
        async with connect(url, additional_headers=headers, max_size=None) as socket:
            await socket.send(json.dumps({"type": "feature_flags", "data": flags}))
            self.heard[where] = ""
            async for message in socket:
                text = message if isinstance(message, str) else message.decode("latin-1")
                self.heard[where] += text

    async def ask(self, alice: Alice, ids: dict[str, str]) -> None:
        for turn, (at, (client, start)) in enumerate(self.doors.items()):
            paths = [*reads(ids)]  # all by one door, some by each of the others
            for path in paths[turn::3] if turn else paths:
                self._note(f"{at} {path}", await client.get(start + path))
            for path, body in writes(alice.bodies, ids):
                self._note(f"{at} {path} {body}", await client.post(start + path, json=body))
            for file in await alice.files(ids["succeeded"]):
                assert (await alice.http.get("/view", params=file)).status_code == 200
                assert (await client.get(f"{start}/view", params=file)).status_code == 404

    def _note(self, where: str, answer: httpx.Response) -> None:
        assert answer.status_code < 500, (where, answer.text)
        self.told[where] = f"{answer.headers} {answer.text}"


@contextlib.asynccontextmanager
async def listening(other: Other, names: Collection[str]) -> AsyncIterator[None]:
    other.heard.clear()
    sockets = [asyncio.create_task(other.listen(name)) for name in names]
    try:
        await wait_until(lambda: len(other.heard) == len(names))
        yield
    finally:
        for socket in sockets:
            socket.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*sockets)


@pytest.mark.parametrize("name", ["reader", "runner"])
async def test_nothing_of_one_key_is_told_to_another(gate: Guarded, name: str) -> None:
    alice = Alice(await gate.client("alice"), gate.demo)  # type: ignore[attr-defined]
    other = Other(gate, name, await gate.client(name), await gate.client())
    async with listening(other, other.sockets):
        ids = await alice.fill()
        before = await alice.states()
        await other.ask(alice, ids)
        assert await alice.states() == before, "nothing of hers has changed"
        heard = "".join(other.heard.values())
    async with listening(other, ["root"]):  # who comes late is told of ends
        await other.doors["root"][0].get("/queue")
        heard += "".join(other.heard.values())
    assert before["running"] == [ids["running"]]
    assert {where for where, text in other.told.items() if MARK in text} == set()
    assert MARK not in heard
    for prompt_id in ids.values():
        assert prompt_id not in heard, "no message of another's prompt"
        assert other.told[f"root /history/{prompt_id}"].endswith(" {}")
        hers = await alice.http.get(f"/history/{prompt_id}"), await alice.http.get("/queue")
        assert MARK in "".join(answer.text for answer in hers)
