"""No error repeats much of what was sent: every route, every place where a text may stand."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from app.limits.quoting import MAX_ERROR_BYTES, TEXTS, bounded, cut, listed, quoted
from app.main import create_app
from app.settings import Settings
from fake_comfyui.server import DemoServer
from scripts.docs.reference import inlined
from tests.conftest import RunningGateway, model_free, over
from tests.keyholders import guarded

pytestmark = pytest.mark.slow

Json = dict[str, Any]

LETTER = "Q"  # of which all that is sent is made
LARGE, LONG = 2_000_000, 200_000
HEAD = 20_000  # what fits into the head of a request
MOST, MOST_ECHOED = 8_000, 2_000  # bytes of an error


def check(answer: httpx.Response, where: str) -> None:
    """An error is small, and has little of the marker in it; so do its headers."""
    heads = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    if answer.is_success and not answer.history:
        assert heads.count(LETTER) <= MOST_ECHOED, (where, answer.status_code)
        return
    assert answer.status_code < 500 or answer.status_code == 501, (where, answer.text[:500])
    assert len(answer.content) + len(heads) <= MOST, (where, answer.status_code)
    assert (answer.text + heads).count(LETTER) <= MOST_ECHOED, (where, answer.text[:300])


def sample(schema: Json) -> Any:
    """Something that the schema allows, as far as requests of ours go."""
    if "example" in schema or schema.get("examples"):
        return schema.get("example") or schema["examples"][0]
    for several in ("anyOf", "oneOf"):
        if several in schema:
            return sample(schema[several][0])
    match schema.get("type"):
        case "object":
            wanted = schema.get("required", ())
            return {name: sample(schema["properties"][name]) for name in wanted}
        case "array":
            return []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    return schema.get("enum", ["x"])[0]


def spoilt(schema: Json, text: str) -> Iterator[tuple[str, Any]]:
    """Bodies with the text in one field each: as its value, in an object, as a name, in a list."""
    base = sample(schema)
    options = [schema, *schema.get("anyOf", ())]
    names = {name for option in options for name in option.get("properties", {})}
    base = base if isinstance(base, dict) else {}
    for name in sorted(names):
        for kind, value in (
            ("text", text),
            ("object", {text[:HEAD]: text[:HEAD]}),
            ("list", [text[:HEAD]]),
            ("names", {text[: len(text) // 200] + str(i): 1 for i in range(100)}),
        ):
            yield f"{name} as {kind}", {**base, name: value}
    yield "an unknown name", {**base, text: 1}
    yield "a text", text
    yield "a list", [text]


def graphs(text: str) -> Iterator[tuple[str, Json]]:
    """Workflows with the text in every kind of place."""
    yield "class_type", {"1": {"class_type": text, "inputs": {}}}
    yield "node id", {text: {"class_type": text[:9], "inputs": {}}}
    yield "input name", {**model_free(), "4": {"class_type": "X", "inputs": {text: 1}}}
    yield "link", {**model_free(), "4": {"class_type": "X", "inputs": {"a": [text, 0]}}}
    yield "link name", {**model_free(), "4": {"class_type": "X", "inputs": {text: ["no", 0]}}}
    yield "no inputs", {**model_free(), text: {"class_type": text}}
    yield "model", {**model_free(), "4": {"class_type": text, "inputs": {text: f"{text}.ckpt"}}}
    many = {
        f"{text[:500]}{i}": {"class_type": f"{text[:500]}{i}", "inputs": {}} for i in range(999)
    }
    yield "many nodes", many
    node = {"id": 1, "type": text, "title": text, "inputs": [{"name": text, "link": 1}]}
    yield "UI type", {"nodes": [node], "links": [[1, 2, 0, 1, 0, text]], "version": 0.4}
    yield "UI id", {"nodes": [{**node, "id": text}], "links": [], "version": 0.4}
    nodes = [{**node, "id": i, "type": f"{text[:2000]}{i}"} for i in range(500)]
    yield "UI nodes", {"nodes": nodes, "links": [], "version": 0.4}


def submits(text: str) -> Iterator[tuple[str, Json]]:
    """Envelopes with the text where the schema says no more than "object"."""
    for where, graph in graphs(text):
        yield where, graph
        yield f"workflow: {where}", {"workflow": graph}
    for name in ("1.color", "3.filename_prefix", text, f"1.{text}", f"{text}.color"):
        for value in (text, {text: text}, [text], 10**300, f"http://{text}/", f"data:{text}"):
            where = f"params {name[:20]} {str(value)[:20]}"
            yield where, {"workflow": model_free(), "params": {name: value}}
            yield f"batch {where}", {"workflow": model_free(), "batch": {name: [value]}}
    yield "batch empty", {"workflow": model_free(), "batch": {text: []}}
    zipped = {f"{text[:90000]}{i}": [1] * i for i in range(1, 9)}
    yield "zip", {"workflow": model_free(), "batch": zipped, "batch_mode": "zip"}
    for part in ({"url": text}, {"url": f"http://{text}/"}, {"url": f"http://a.example/{text}"}):
        yield f"webhook {part['url'][:12]}", {"workflow": model_free(), "webhook": part}
    url = {"url": "http://a.example/"}
    for more in ({"headers": {text: "a"}}, {"headers": {"a": text}}, {"events": [text] * 9}):
        yield f"webhook {next(iter(more))}", {"workflow": model_free(), "webhook": url | more}
    yield "secret", {"workflow": model_free(), "webhook": {**url, "secret": text}}
    yield "secret name", {"workflow": model_free(), "webhook": {**url, text: text}}


@pytest.fixture
def paths(settings_for: Callable[..., Settings]) -> dict[str, Json]:
    document = create_app(settings_for()).openapi()
    found: dict[str, Json] = inlined(document["paths"], document["components"]["schemas"])
    return found


def operations(paths: dict[str, Json]) -> Iterator[tuple[str, str, Json]]:
    for path, several in paths.items():
        for method, operation in several.items():
            if not path.endswith("/events"):  # streams do not end
                yield method.upper(), path, operation


def plain(path: str) -> str:
    return path.replace("{", "").replace("}", "")


async def test_texts_in_the_head(gateway: RunningGateway, paths: dict[str, Json]) -> None:
    text, asked = LETTER * HEAD, 0
    for method, path, operation in operations(paths):
        given = operation.get("parameters", ())
        for parameter in given:
            name, query, headers, url = parameter["name"], {}, {}, path
            match parameter["in"]:
                case "path":
                    url = path.replace(f"{{{name}}}", text)
                case "query":
                    query = {name: text, f"{name}[{text[: HEAD // 2]}]": text[: HEAD // 2]}
                case "header":
                    headers = {name: text}
            answer = await gateway.http.request(
                method, plain(url), params=query, headers=headers, json={}
            )
            check(answer, f"{method} {path} {name}")
            asked += 1
        for name in ("Host", "Origin", "Referer", "Range", "If-Match", "Accept", "Content-Type"):
            answer = await gateway.http.request(method, plain(path), headers={name: text})
            check(answer, f"{method} {path} {name}")
        answer = await gateway.http.request(method, f"{plain(path)}/{text}", json={})
        check(answer, f"{method} {path}/...")
        answer = await gateway.http.request(text[:50], plain(path), follow_redirects=False)
        check(answer, f"... {path}")
    assert asked > 80


async def test_redirects_do_not_lead_far(gateway: RunningGateway) -> None:
    for url in (f"/api/tasks/?{LETTER * HEAD}", f"/api/workflow/{LETTER * HEAD}/"):
        check(await gateway.http.get(url), url[:30])
    near = await gateway.http.get("/api/tasks/?limit=1")
    assert near.headers["location"].endswith("/api/tasks?limit=1")


async def test_texts_in_bodies(gateway: RunningGateway, paths: dict[str, Json]) -> None:
    text, asked = LETTER * LONG, 0
    for method, path, operation in operations(paths):
        content = operation.get("requestBody", {}).get("content", {})
        for where, body in spoilt(content.get("application/json", {}).get("schema", {}), text):
            if "application/json" in content:
                sent = json.dumps(body).encode()
                check(await gateway.http.request(method, plain(path), content=sent), where)
                asked += 1
        if "multipart/form-data" in content:
            await check_forms(gateway.http, method, plain(path), text)
            asked += 1
    assert asked > 100


async def check_forms(client: httpx.AsyncClient, method: str, path: str, text: str) -> None:
    name = text[:HEAD]
    for part in ("image", "file", "original", "workflow", "request", "params", "file_path", name):
        for where, filename, content in (
            ("file name", f"{name}.png", b"x"),
            ("a picture's name", f"{name}.png", b"\x89PNG\r\n\x1a\n"),
            ("content", "a.json", text.encode()),
            ("JSON", "a.json", json.dumps({text: {"class_type": text}}).encode()),
        ):
            form = {"content_type": name, "file_path": name, "original": name, "tags": name}
            for data in ({}, form, {name: name, "workflow": "{}"}):
                answer = await client.request(
                    method, path, data=data, files={part: (filename, content)}
                )
                check(answer, f"{method} {path} {part[:20]} {where}")


async def test_texts_in_workflows(gateway: RunningGateway) -> None:
    large = {"1": {"class_type": LETTER * LARGE, "inputs": {}}}
    check(await gateway.http.post("/api/workflow/submit", json=large), "2 MB")
    for where, body in submits(LETTER * LONG):
        sent = json.dumps(body).encode()
        for path in ("/api/workflow/submit", "/api/workflow/convert", "/api/v2/jobs"):
            answer = await gateway.http.post(path, content=sent)
            check(answer, f"{path} {where}")
            if path.endswith("convert") and answer.is_success:
                warned = json.dumps(answer.json()["warnings"])
                assert len(warned) < MOST, where
    await gateway.http.post("/api/queue/clear")


async def test_texts_in_sockets(gateway: RunningGateway) -> None:
    text = LETTER * 60_000
    async with websockets.connect(f"ws://{gateway.address}/ws", max_size=None) as socket:
        for message in (
            text,
            json.dumps(text),
            json.dumps({"type": text}),
            json.dumps({"type": {text: text}}),
            json.dumps({"type": "subscribe", "task_ids": text}),
            json.dumps({"type": "subscribe", "task_ids": [text]}),
            json.dumps({text: text}),
        ):
            await socket.send(message)
            said = await socket.recv()
            assert len(said) < MOST_ECHOED, message[:40]
            assert json.loads(said)["type"] == "error"
    for headers in ({"Origin": LETTER * 7000}, {"Sec-WebSocket-Version": LETTER * 7000}):
        with suppress(httpx.RemoteProtocolError):
            upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "a"}
            answer = await gateway.http.get("/ws", headers={**upgrade, **headers})
            check(answer, str(headers)[:30])


async def test_texts_before_the_routes(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> None:
    text = LETTER * HEAD
    options: Json = {"cors_origins": [f"https://{'q' * 60}.example"], "keys": {"one": "run"}}
    async with guarded(settings_for, tmp_path, demo, **options) as gate:
        for client in (await gate.client(), await gate.client("one")):
            for headers in (
                {"Authorization": f"Bearer {text}"},
                {"X-API-Key": text},
                {"Origin": f"https://{text}"},
                {"Origin": options["cors_origins"][0], "Access-Control-Request-Headers": text},
                {"Access-Control-Request-Method": text, "Origin": text},
                {"X-Request-Id": text, "X-Comfy-Request-Id": text},
                {"X-Forwarded-Prefix": f"/{text}", "Host": text},
            ):
                asked = {"Access-Control-Request-Method": "GET", **headers}
                for path in ("/api/tasks", "/api/v2/jobs", "/api/v2/jobs?limit=1000"):
                    for method in ("OPTIONS", "GET", "PATCH"):
                        answer = await client.request(method, path, headers=asked)
                        check(answer, f"{method} {path} {list(headers)}")


async def test_places_do_not_multiply(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with over(settings_for, demo) as gateway:
        await gateway.submit(model_free())
        prefix = {"X-Forwarded-Prefix": f"/{LETTER * HEAD}"}
        answer = await gateway.http.get("/api/v2/jobs", headers=prefix)
        assert answer.status_code == 200
        assert LETTER * 10 not in answer.text


def test_a_value_is_quoted_as_far_as_it_is_short() -> None:
    assert quoted("a'b") == repr("a'b")
    assert quoted("a" * 80) == repr("a" * 80)
    assert quoted("a" * 81) == f"{'a' * 80!r}... (81 characters)"
    assert len(quoted([{"a": "b" * LARGE}] * 9)) < 200
    assert quoted(12) == "12"


def test_a_text_is_cut_by_its_bytes() -> None:
    assert cut("é" * 100, 300) == "é" * 100
    assert len(cut("é" * 1000, 300).encode()) < 350
    assert len(json.dumps(cut("\1" * 1000, 300))) < 350
    assert cut("\ud800", 10) == "?"
    assert listed([str(number) for number in range(30)], 3) == ["0", "1", "2", "... and 27 more"]


@pytest.mark.parametrize("text", ["Q", "é", "\1", "\U0001f600"])
def test_whatever_an_error_holds_it_is_small(text: str) -> None:
    fault = {"type": "t", "message": text * 300, "extra_info": {"input_config": [text * 9] * 5000}}
    problem = bounded(
        {
            "type": "urn:x",
            "title": "x",
            "status": 422,
            "code": "x",
            "detail": text * LARGE,
            "hint": text * LARGE,
            "parameter": text * LARGE,
            "node_errors": {f"{text}{i}": {"errors": [fault] * 100} for i in range(1000)},
            "errors": [{"field": text * 1000, "message": text} for _ in range(1000)],
        }
    )
    sent = json.dumps(problem, ensure_ascii=False).encode()
    assert len(sent) < MAX_ERROR_BYTES + 1000
    said = problem["detail"] + problem["hint"]
    assert len(json.dumps(said, ensure_ascii=False).encode()) < TEXTS
    assert problem["omitted"]["errors"] >= 900
    assert problem["omitted"]["node_errors"] >= 900


def test_a_usual_error_is_whole() -> None:
    faults = [{"type": "missing_node_type", "message": "The server has no node type 'X'."}]
    problem = {
        "status": 422,
        "detail": "It lacks node type 'X'.",
        "missing": {"node_types": ["X"], "files": [{"class_type": "Y", "name": "y.ckpt"}]},
        "node_errors": {str(i): {"class_type": "X", "errors": faults} for i in range(8)},
    }
    assert bounded(problem) == problem
