"""Who may do what: every route of the app, whoever asks. A new route is in it by itself."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets
from PIL import Image

from app.api.access_levels import access_levels, names
from app.api.middleware.scopes import Rules
from app.auth.model import AccessLevel
from app.main import create_app
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import model_free, wait_until
from tests.keyholders import WRONG, Guarded, guarded

KEYS = {"reader": "read", "runner": "run", "other": "run", "boss": "manage"}
NEEDED = access_levels(create_app(Settings.model_construct()).routes)
# As ComfyUI, these answer 200 with {}, or that nothing was cancelled, for whatever is not there
NOTHING = {
    "GET /comfy/history/{prompt_id}",
    "HEAD /comfy/history/{prompt_id}",
    "POST /comfy/api/jobs/{prompt_id}/cancel",
}
PUBLIC = {"unauthorized": 401, "forbidden": 403}

Json = dict[str, Any]


@pytest.fixture
def routes(settings_for: Callable[..., Settings]) -> list[str]:
    return names(create_app(settings_for()).routes)


@pytest.fixture
async def gate(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> AsyncIterator[Guarded]:
    async with guarded(
        settings_for, tmp_path, demo, keys={**KEYS}, allow_private_urls=["127.0.0.1"]
    ) as found:
        yield found


def picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (4, 4), "red").save(file, "PNG")
    return file.getvalue()


async def native_prompt(client: httpx.AsyncClient) -> str:
    """The id of an ended prompt of ComfyUI's own protocol."""
    prompt_id = str(
        (await client.post("/prompt", json={"prompt": model_free()})).json()["prompt_id"]
    )

    async def entry() -> Json:
        return dict((await client.get(f"/history/{prompt_id}")).json())

    await wait_until(entry)
    return prompt_id


async def belongings(client: httpx.AsyncClient) -> dict[str, str]:
    """Something of each kind that a key may own, by the names that paths have for it."""
    webhook = {"url": "http://127.0.0.1:9/hook", "events": ["task.succeeded"]}
    body = {"workflow": model_free(), "webhook": webhook}
    task = (await client.post("/api/workflow/submit?wait=60", json=body)).json()
    assert task["status"] == "succeeded", task
    many = {"workflow": model_free(), "batch": {"1.color": [1, 2]}}
    batch = (await client.post("/api/workflow/submit?wait=60", json=many)).json()
    upload = await client.post("/api/image/upload", files={"image": ("mine.png", picture())})
    form = {"content_type": "image/png", "file_path": "mine.png"}
    asset = await client.post("/api/v2/assets", data=form, files={"file": ("a.png", picture())})

    async def deliveries() -> list[Json]:
        answer = await client.get(f"/api/task/{task['task_id']}/deliveries")
        return list(answer.json()["deliveries"])

    return {
        "task_id": task["task_id"],
        "prompt_id": await native_prompt(client),
        "batch_id": batch["batch_id"],
        "delivery_id": (await wait_until(deliveries))[0]["delivery_id"],
        "result": task["outputs"][0]["filename"],
        "upload": upload.json()["name"],
        "asset": asset.json()["id"],
        "hash": asset.json()["hash"],
    }


def filled(name: str, things: dict[str, str]) -> str:
    """A path of the route with these things in it; nonsense for what is nobody's."""
    route = name.partition(" ")[2]
    known = {
        **things,
        "filename": things["result"] if "/api/image/" in route else "none.json",
        "id": things["asset"] if "/assets/" in route else things["task_id"],
        "folder": "loras",
        "class_type": "KSampler",
        "server_id": "127.0.0.1:1",
        "version": "0",
    }
    return re.sub(r"\{(\w+)(?::path)?\}", lambda match: known[match[1]], route)


async def status_of(gate: Guarded, client: httpx.AsyncClient, name: str, path: str) -> int:
    method = name.partition(" ")[0]
    if method == "WS":
        headers = [("Authorization", client.headers.get("Authorization", "Bearer none"))]
        try:
            async with websockets.connect(f"ws://{gate.address}{path}", additional_headers=headers):
                return 101
        except websockets.InvalidStatus as error:
            return error.response.status_code
    async with client.stream(method, path) as answer:  # some never end
        return answer.status_code


async def asked(gate: Guarded, client: httpx.AsyncClient, things: dict[str, str]) -> Json:
    """What each route answers to requests with nothing in them."""
    every = names(create_app(gate.gateway.settings).routes)
    # What removes things comes last.
    ordered = sorted(every, key=lambda name: (name.startswith("DELETE"), "delete" in name))
    return {name: await status_of(gate, client, name, filled(name, things)) for name in ordered}


# What needs no key, what needs a key that may look only though it is a POST, and what changes what
# everybody shares. All else: GET and HEAD need "read", other methods "run".
NO_KEY = """
    GET /api/health  GET /api/ready  GET /api/v2/health  GET /static  HEAD /static  GET /
    HEAD /  GET /openapi.json  GET /docs  GET /redoc  HEAD /openapi.json  HEAD /docs  HEAD /redoc
    GET /comfy/  HEAD /comfy/
"""
LOOKS_ONLY = "POST /api/workflow/parameters  POST /api/workflow/convert  WS /ws  WS /comfy/ws"
SHARED = """
    POST /api/servers  PATCH /api/servers/{server_id:path}  DELETE /api/servers/{server_id:path}
    POST /api/servers/{server_id:path}/drain  POST /api/servers/{server_id:path}/resume
    POST /api/system/free  POST /comfy/free  POST /api/workflow/upload  POST /api/workflow/update
    DELETE /api/workflow/{filename}  POST /api/workflow/{filename}/restore
"""


def named(table: str) -> set[str]:
    return {" ".join(pair) for pair in re.findall(r"([A-Z]+) (/\S*)", table)}


def test_each_route_has_the_level_that_its_kind_should_have(routes: list[str]) -> None:
    looking = {name for name in routes if name.startswith(("GET ", "HEAD "))}
    of_level = {level: {n for n in routes if NEEDED[n] is level} for level in AccessLevel}
    assert of_level[AccessLevel.OPEN] == named(NO_KEY)
    assert of_level[AccessLevel.READ] == (looking - named(NO_KEY)) | named(LOOKS_ONLY)
    assert of_level[AccessLevel.MANAGE] == named(SHARED)


def test_every_route_has_a_rule_and_every_rule_a_route(routes: list[str]) -> None:
    assert {name for name in routes if not name.startswith("HEAD")} <= set(NEEDED)
    assert set(NEEDED) <= set(routes)
    assert len(routes) == len(set(routes)) > 70


def test_the_routes_are_all_that_the_app_serves(settings_for: Callable[..., Settings]) -> None:
    app = create_app(settings_for())
    known = {name.replace(":path}", "}") for name in names(app.routes)}
    for path, operations in app.openapi()["paths"].items():
        for method in operations:
            assert f"{method.upper()} {path}" in known


def test_a_route_without_a_rule_does_not_start(settings_for: Callable[..., Settings]) -> None:
    app = create_app(settings_for())
    app.add_api_route("/api/forgotten", lambda: None, methods=["GET"])
    with pytest.raises(LookupError, match="GET /api/forgotten"):
        Rules(app.routes)


async def test_without_a_key_only_open_routes_answer(gate: Guarded) -> None:
    things = await belongings(await gate.client("runner"))
    for client in (await gate.client(), await gate.client(key=WRONG)):
        wrong = "Authorization" in client.headers
        for name, status in (await asked(gate, client, things)).items():
            is_open = NEEDED.get(name, AccessLevel.OPEN) is AccessLevel.OPEN
            assert (status != 401) is (is_open and not wrong), (name, status)


@pytest.mark.parametrize(
    ("holder", "scope"), [("reader", AccessLevel.READ), ("runner", AccessLevel.RUN)]
)
async def test_a_key_may_do_what_its_scope_allows(
    gate: Guarded, holder: str, scope: AccessLevel
) -> None:
    things = await belongings(await gate.client("runner"))
    for name, status in (await asked(gate, await gate.client(holder), things)).items():
        refused = NEEDED.get(name, AccessLevel.OPEN) > scope
        assert (status == 403) is refused, (name, status)
        assert status < 500 or status == 503, (name, status)


async def test_what_belongs_to_another_key_is_not_there(gate: Guarded) -> None:
    things = await belongings(await gate.client("runner"))
    nowhere = dict.fromkeys(things, "0" * 8) | {"result": "no.png", "hash": "blake3:00"}
    other = await gate.client("other")
    theirs, nothing = await asked(gate, other, things), await asked(gate, other, nowhere)
    assert theirs == nothing
    mine = {"task_id", "prompt_id", "batch_id", "delivery_id", "id", "hash"}
    checked = [name for name in theirs if mine & set(re.findall(r"\{(\w+)\}", name))]
    assert len(checked) > 20
    for name in checked:
        assert theirs[name] == (200 if name in NOTHING else 404), (name, theirs[name])
    owner = await asked(gate, await gate.client("runner"), things)
    assert [name for name in checked if owner[name] == 404] == []


async def test_who_manages_sees_all(gate: Guarded) -> None:
    things = await belongings(await gate.client("runner"))
    found = await asked(gate, await gate.client("boss"), things)
    assert 401 not in found.values()
    assert 403 not in found.values()
    for name in ("GET /api/task/{task_id}", "GET /api/v2/assets/{id}", "GET /api/image/{filename}"):
        assert found[name] == 200, name


async def test_lists_and_counts_are_those_of_the_key(gate: Guarded) -> None:
    runner, other, boss = [await gate.client(name) for name in ("runner", "other", "boss")]
    things = await belongings(runner)
    for client, count in ((runner, 4), (other, 0), (boss, 4)):
        assert len((await client.get("/api/tasks")).json()["tasks"]) == count
        assert len((await client.get("/api/history")).json()["tasks"]) == count
        assert len((await client.get("/api/v2/jobs")).json()["jobs"]) == count
        assert len((await client.get("/api/deliveries")).json()["deliveries"]) == min(count, 1)
        page = await client.get(f"/api/tasks?batch_id={things['batch_id']}")
        assert len(page.json()["tasks"]) == min(count, 2)
    deleted = await other.post("/api/history/delete", json={"all": True})
    assert deleted.json() == {"deleted": [], "count": 0}
    assert (await other.get("/api/history?include_servers=true")).status_code == 403
    server = gate.gateway.pool.online()[0].id
    relayed = await other.get(f"/api/image/x.png?server={server}")
    assert relayed.status_code == 403
    assert (await asyncio.gather(runner.get(f"/api/task/{things['task_id']}")))[0].is_success
