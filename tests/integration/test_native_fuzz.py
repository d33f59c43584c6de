"""Odd bodies, queries and paths of ComfyUI's own routes: refused in its form, and never a failure
of the gateway. The routes come from the application, so that a new one is tried, too. (They are not
in the OpenAPI document, by which the other routes are tried.)"""

import copy
import json
import os
import random
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx

from app.api.access_levels import endpoints_of
from app.api.native.routes import ROUTES
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free
from tests.integration.test_native_errors import check

Json = dict[str, Any]

SEED = int(os.environ.get("FUZZ_SEED", "7"))
ID = "8c9ad0ee-3a7f-4dd2-9cd5-1f0a2b3c4d5e"
ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 3.5, 1e308, 2**70, "", "x", "\0", "\ud800", "NaN", ID, "../x", "x" * 3000),
    *([], {}, [[]], [None], [{}], {"": None}, {"x": {"y": []}}, [ID], [ID, 3], ["1", 0], ["99", 7]),
)
PROTOTYPES: tuple[Json, ...] = (
    {
        "prompt": model_free(),
        "prompt_id": ID,
        "client_id": "a",
        "number": 3,
        "front": False,
        "extra_data": {
            "client_id": "b",
            "extra_pnginfo": {"workflow": {}},
            "preview_method": "auto",
        },
        "partial_execution_targets": ["3"],
    },
    {"clear": False, "delete": [ID], "prompt_id": ID, "client_id": "a", "job_ids": [ID]},
    {"unload_models": True, "free_memory": True},
)
RAW = (b"", b"{", b"[]", b"null", b"3", b'"x"', b"\xff\xfe", b"{}" * 3, b'{"a": NaN}', b"[" * 5000)
PARTS = ("x", "..", "%00", "%ff", "a%2Fb", "~", "x" * 300, ID, "%f0%9f%98%80", "CON", "%20")
QUERIES = (
    *("max_items", "offset", "limit", "prompt_id", "clientId", "filename", "subfolder", "type"),
    *("preview", "channel", "status", "sort_by", "sort_order", "workflow_id", "cursor"),
)


def spots(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Each place within a value."""
    yield place
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for name, item in items:
            yield from spots(item, (*place, name))


def changed(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The body with this value in that place."""
    if not place:
        return value
    whole = copy.deepcopy(body)
    inner = whole
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return whole


def swept(path: str) -> Iterator[bytes]:
    """Each odd value in each field that the route may read."""
    for body in PROTOTYPES[:1] if path.endswith("/prompt") else PROTOTYPES[1:]:
        for name in body:
            for value in ODD:
                yield json.dumps({**body, name: value}).encode()


def drawn(chance: random.Random, count: int) -> Iterator[bytes]:
    """Some of all others."""
    for _ in range(count):
        body: Any = chance.choice(PROTOTYPES)
        for _ in range(chance.choice((1, 1, 2))):
            body = changed(body, chance.choice(list(spots(body))), chance.choice(ODD))
        yield json.dumps(body).encode()


def acceptable(answer: httpx.Response, said: str) -> None:
    assert answer.status_code < 500 or answer.status_code == 503, (said, answer.text[:500])
    if answer.status_code in (404, 405):
        return  # of paths that lead nowhere
    if answer.status_code < 400 or answer.request.method == "HEAD":
        return
    told = answer.json()
    if "/api/jobs" in said and isinstance(told["error"], str):
        return  # ComfyUI's own form there
    check(told)


def routes(*methods: str) -> list[tuple[str, str]]:
    return [
        (each.method, each.path)
        for each in endpoints_of(ROUTES)
        if each.method in methods and "{rest" not in each.path
    ]


async def test_bodies(gateway: RunningGateway) -> None:
    chance, tried = random.Random(SEED), 0
    for method, path in routes("POST", "PUT", "DELETE"):
        for content in (*RAW, *swept(path), *drawn(chance, 15)):
            target = path.replace("{", "").replace("}", "")
            answer = await gateway.http.request(method, target, content=content)
            acceptable(answer, f"{method} {path} {content[:400]!r}")
            tried += 1
    assert tried > 700
    assert (await gateway.http.get("/api/health")).status_code == 200


async def test_paths_and_queries(gateway: RunningGateway) -> None:
    tried = 0
    for method, path in routes("GET", "HEAD", "POST", "PUT", "DELETE"):
        for at, part in enumerate(PARTS):
            target = "/".join(
                part if "{" in segment else quote(segment) for segment in path.split("/")
            )
            names = QUERIES[at % 4 :: 4]
            query = "&".join(
                f"{name}={PARTS[(at + n) % len(PARTS)]}" for n, name in enumerate(names)
            )
            request = gateway.http.build_request(method, "/")
            request.extensions["target"] = f"{target}?{query}".encode()
            acceptable(await gateway.http.send(request), f"{method} {target}?{query}")
            tried += 1
    assert tried > 200


async def test_a_prompt_that_servers_choke_on_is_none_of_theirs(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    """After all that the servers still take a plain one."""
    chance = random.Random(SEED + 1)
    for content in drawn(chance, 60):
        acceptable(
            await gateway.http.post("/prompt", content=content), content[:400].decode("latin")
        )
    task = await gateway.submit(model_free(7))
    assert task["status"] == "succeeded"
