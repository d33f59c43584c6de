"""Numbers from clients: none is too large, too small or too odd for either database."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import product
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from app.api.pages import LARGEST
from app.api.routers import submit
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over

Json = dict[str, Any]

TEXTS = (
    *("-1", "0", "1", "+1", " 1", "1 ", "1_0", "1.0", "1e3", "0x10", "٣", "²", "1" * 5000),
    *("NaN", "inf", "-inf", "1e308", "-1e308", "1e999", "null", "true", "", "--1", "1,2"),
    *(str(2**bits + more) for bits in (31, 32, 53, 63, 64, 128) for more in (-1, 0, 1)),
    *(str(-(2**bits)) for bits in (31, 63, 64)),
    *("9" * digits for digits in (10, 11, 18, 19, 20)),
)
# As JSON writes them, also those that are no JSON.
LITERALS = (*(text for text in TEXTS if text[:1] not in "+ ٣²0" and text), "1" * 4000, '"5"', "[]")
LISTS = ("/api/tasks", "/api/history", "/api/deliveries", "/api/v2/jobs")


@pytest.fixture
async def stored(
    settings_for: Callable[..., Settings],
    demo: DemoServer,
    url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RunningGateway]:
    """A gateway on each kind of database: for numbers that may come to it."""
    monkeypatch.setattr(submit, "MAX_WAIT", 0.1)
    async with over(settings_for, demo, database_url=url) as running:
        yield running


async def test_a_cursor_out_of_range_is_refused(stored: RunningGateway) -> None:
    for path, text in product(LISTS, TEXTS):
        answer = await stored.http.get(path, params={"cursor": text})
        usual = text.isascii() and text.isdigit()
        if usual and len(text) <= 10 and int(text) <= LARGEST:
            assert answer.status_code == 200, (text, answer.text)
        elif usual or not path.startswith("/api/v2"):
            assert answer.status_code == 422, (text, answer.text)
            assert "cursor" in answer.text
        else:
            assert answer.status_code == 400, (text, answer.text)
            assert answer.json()["error"]["code"] == "invalid_cursor"


def numeric(schema: Json) -> bool:
    options = [schema, *schema.get("anyOf", ())]
    return any(option.get("type") in ("integer", "number") for option in options)


async def test_numbers_in_queries_and_headers(stored: RunningGateway) -> None:
    document = (await stored.http.get("/openapi.json")).json()
    asked = 0
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for parameter in operation.get("parameters", ()):
                if not numeric(parameter["schema"]) or path.endswith("/events"):
                    continue
                asked += 1
                for text in TEXTS:
                    url = path.replace("{", "").replace("}", "")
                    query = {parameter["name"]: text}
                    body = {} if method == "get" else {"json": model_free()}
                    answer = await stored.http.request(method, url, params=query, **body)
                    assert answer.status_code < 500, (method, path, query, answer.text)
    assert asked >= 8


async def test_numbers_in_ids_and_versions(stored: RunningGateway) -> None:
    for text in TEXTS:
        for path in (
            f"/api/task/{text}",
            f"/api/task/{text}/deliveries",
            f"/api/batch/{text}",
            f"/api/workflow/x/versions/{text}",
            f"/api/v2/jobs/{text}",
            f"/api/v2/assets/{text}",
            f"/api/image/{text}",
        ):
            answer = await stored.http.get(path)
            assert answer.status_code in (307, 404, 405, 422), (path, answer.text)
        replayed = await stored.http.post(f"/api/deliveries/{text}/replay")
        assert replayed.status_code in (307, 404), replayed.text


async def test_numbers_in_headers_of_events(gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free())
    task = await gateway.until(task["task_id"], "succeeded")
    for text in (text.strip().encode() for text in TEXTS):
        for path in (
            f"/api/task/{task['task_id']}/events",
            f"/api/v2/jobs/{task['task_id']}/events",
        ):
            async with gateway.http.stream("GET", path, headers={"Last-Event-ID": text}) as answer:
                assert answer.status_code == 200
                assert b"succeeded" in await answer.aread()
        url = task["outputs"][0]["url"]
        ranges = (b"bytes=%b-" % text, b"bytes=-%b" % text, b"bytes=0-%b" % text)
        others = ("If-Range", "If-Match", "If-Modified-Since", "Idempotency-Key")
        for name, value in [("Range", text), *product(["Range"], ranges), *product(others, [text])]:
            got = await gateway.http.get(url, headers={name: value})
            assert got.status_code in (200, 206, 416), (name, value)


def bodies(literal: str, turn: int) -> Iterator[tuple[str, str, str]]:
    """(method, path, JSON) with the number where a field wants one, and, by turns, in one of those
    where none does."""
    graph = json.dumps(model_free())
    others = ("wait_for_server", "server", "metadata", "batch_mode")
    for field in ("timeout", "priority", others[turn % 4]):
        yield "POST", "/api/workflow/submit", f'{{"workflow": {graph}, "{field}": {literal}}}'
        yield "POST", "/api/v2/jobs", f'{{"workflow": {graph}, "{field}": {literal}}}'
    for name in ("1.color", ("1.width", "3.filename_prefix")[turn % 2]):
        params = f'{{"{name}": {literal}}}'
        yield "POST", "/api/workflow/submit", f'{{"workflow": {graph}, "params": {params}}}'
        batch = f'{{"{name}": [{literal}]}}'
        yield "POST", "/api/workflow/submit", f'{{"workflow": {graph}, "batch": {batch}}}'
    odd = graph.replace('"color": 255', f'"color": {literal}')
    yield "POST", "/api/workflow/submit", odd
    yield "POST", "/api/workflow/convert", odd
    yield "POST", "/api/servers", f'{{"address": "127.0.0.1:1", "slots": {literal}}}'
    yield "PATCH", "/api/servers/127.0.0.1:1", f'{{"slots": {literal}}}'
    yield "POST", "/api/history/delete", f'{{"task_ids": [{literal}]}}'
    yield "POST", "/api/v2/assets/from-hash", f'{{"hash": "a", "expires_in": {literal}}}'
    yield "POST", "/api/workflow/parameters", f'{{"nodes": [{{"id": {literal}}}], "links": []}}'


async def test_numbers_in_bodies(stored: RunningGateway) -> None:
    # What is accepted is not run: a picture of any size is the server's affair.
    for server in list(stored.gateway.pool):
        await stored.http.post(f"/api/servers/{server.id}/drain")
    for turn, literal in enumerate(LITERALS):
        for method, path, body in bodies(literal, turn):
            answer = await stored.http.request(method, path, content=body.encode())
            assert answer.status_code < 500, (method, path, literal[:30], answer.text)
            if '"timeout"' in body or '"priority"' in body:
                check_field(answer, literal)
    assert (await stored.http.get("/api/tasks?limit=1000")).status_code == 200
    assert (await stored.http.get("/api/queue")).status_code == 200
    assert (await stored.http.get("/api/v2/jobs?limit=1000")).status_code == 200


def check_field(answer: httpx.Response, literal: str) -> None:
    if literal in ("NaN", "inf", "-inf", "1e308", "-1e308", "1e999") or len(literal) > 9:
        assert answer.status_code in (400, 422), (literal, answer.text)


async def test_a_task_of_any_accepted_priority_is_run(stored: RunningGateway) -> None:
    for color, (priority, timeout) in enumerate([(-1000, 1e-300), (1000, 604800), (0, 1e5)]):
        task = await stored.submit(model_free(color), priority=priority, timeout=timeout)
        await stored.until(task["task_id"], "succeeded", "failed")


def places(value: Any, put: Any) -> Iterator[Any]:
    """The value with `put` in place of each value in it, and beside the members of each object."""
    yield put
    if isinstance(value, dict):
        yield {**value, "more": put}
        for name, item in value.items():
            yield from ({**value, name: changed} for changed in places(item, put))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            for changed in places(item, put):
                yield [*value[:number], changed, *value[number + 1 :]]


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
async def test_a_number_that_is_infinite_stands_nowhere(
    gateway: RunningGateway, number: str
) -> None:
    graph = model_free()
    graph["1"]["_meta"] = {"title": "x"}
    bodies = {
        "/api/workflow/submit": [
            {"workflow": graph, "params": {"1.color": 1}, "metadata": {"a": {"b": [1]}}},
            {"workflow": graph, "batch": {"1.color": [1, 2]}, "timeout": 1, "priority": 1},
            graph,
        ],
        "/api/workflow/convert": [graph],
        "/api/workflow/parameters": [graph],
        "/api/v2/jobs": [{"workflow": graph, "metadata": {"a": "b"}}],
        "/api/history/delete": [{"task_ids": ["x"]}],
    }
    for path, wholes in bodies.items():
        for body in (odd for whole in wholes for odd in places(whole, "NUMBER")):
            text = json.dumps(body).replace('"NUMBER"', number)
            answer = await gateway.http.post(path, content=text)
            assert answer.status_code == 422, (path, text, answer.text)
            assert number in answer.text
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def test_a_number_that_is_infinite_in_a_message(gateway: RunningGateway) -> None:
    async with connect(f"ws://{gateway.address}/ws") as socket:
        await socket.send('{"type": "subscribe", "task_ids": 1e999}')
        assert json.loads(await socket.recv())["code"] == "invalid_message"
        await socket.send('{"type": "ping"}')
        assert json.loads(await socket.recv())["type"] == "pong"


async def test_slots_are_a_number(gateway: RunningGateway) -> None:
    (server,) = gateway.gateway.pool
    for slots in (True, "2", 2.5):
        patched = await gateway.http.patch(f"/api/servers/{server.id}", json={"slots": slots})
        added = await gateway.http.post("/api/servers", json={"address": "h:1", "slots": slots})
        assert (patched.status_code, added.status_code) == (422, 422), slots
        assert "slots" in patched.json()["detail"]
