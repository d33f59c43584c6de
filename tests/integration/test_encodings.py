"""JSON with a byte order mark, and in UTF-16 and UTF-32, wherever JSON is taken."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import websockets
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.auth.key_store import KeyFile, parse
from app.errors import InvalidJson
from app.workflows.json_text import parse_json, parse_leniently
from tests.conftest import RunningGateway, model_free
from tests.unit.auth.test_authenticator import entry

Json = dict[str, Any]
SUBMIT = "/api/workflow/submit?wait=60"
ENCODINGS = {
    "utf-8 with a mark": lambda text: text.encode("utf-8-sig"),
    "utf-16-le": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "utf-16-be": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "utf-32-le": lambda text: b"\xff\xfe\0\0" + text.encode("utf-32-le"),
    "utf-32-be": lambda text: b"\0\0\xfe\xff" + text.encode("utf-32-be"),
    "utf-16 without a mark": lambda text: text.encode("utf-16-le"),
}
encodings = pytest.mark.parametrize("encoded", ENCODINGS.values(), ids=list(ENCODINGS))
Encode = Callable[[str], bytes]


@encodings
def test_texts(encoded: Encode) -> None:
    value = {"a": "é猫😀", "b": [1.5, None]}
    for read in (parse_json, parse_leniently):
        assert read(encoded(json.dumps(value, ensure_ascii=False))) == value
        assert read(encoded(json.dumps(value))) == value
    with pytest.raises(InvalidJson, match="empty"):
        parse_json(encoded(" \r\n"))
    with pytest.raises(InvalidJson, match="surrogate"):
        parse_json(encoded('"\\ud800"'))
    with pytest.raises(InvalidJson, match="not valid JSON"):
        parse_json(encoded('{"a": '))


def test_what_is_cut_in_two() -> None:
    for encode in (ENCODINGS["utf-16-le"], ENCODINGS["utf-32-be"]):
        with pytest.raises(InvalidJson, match=r"not UTF-\d\d"):
            parse_json(encode('{"a": 1}')[:-1])


async def test_a_body_that_is_no_json_is_not_taken_as_no_body(gateway: RunningGateway) -> None:
    file = {"file": ("a.json", json.dumps(model_free()))}
    assert (await gateway.http.post("/api/workflow/upload", files=file)).status_code == 201
    optional = ("/api/workflow/a/run", "/api/workflow/submit", "/api/system/free")
    for url in optional:
        for content in (b"\xff", b"\xef\xbb", b"\0", b"\x0b"):
            answer = await gateway.http.post(url, content=content)
            assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json"), url
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []


async def routes_with_json(gateway: RunningGateway) -> list[tuple[str, str]]:
    document = (await gateway.http.get("/openapi.json")).json()
    return [
        (method, path)
        for path, methods in document["paths"].items()
        for method, about in methods.items()
        if "application/json" in about.get("requestBody", {}).get("content", {})
    ]


@encodings
async def test_every_route_that_takes_json(gateway: RunningGateway, encoded: Encode) -> None:
    """It says the same to the same text, whatever its encoding."""
    routes = await routes_with_json(gateway)
    assert len(routes) >= 12
    for method, path in routes:
        url = path.replace("{", "no-").replace("}", "")
        for text in ('{"no_such_field": "é"}', "[1]"):
            answers = [
                await gateway.http.request(
                    method, url, content=content, headers={"Content-Type": "application/json"}
                )
                for content in (text.encode(), encoded(text))
            ]
            codes = [(a.status_code, a.json().get("code"), a.json().get("detail")) for a in answers]
            assert codes[0] == codes[1], (method, path)
            assert "invalid_json" not in answers[1].text, (method, path)


@encodings
async def test_submits(gateway: RunningGateway, encoded: Encode) -> None:
    graph, prefix = model_free(), {"3.filename_prefix": "é"}
    for kind in ("application/json", "application/json; charset=utf-8", "text/plain"):
        body = encoded(json.dumps({"workflow": graph, "params": prefix}))
        answer = await gateway.http.post(SUBMIT, content=body, headers={"Content-Type": kind})
        assert answer.json()["status"] == "succeeded", answer.text
        assert answer.json()["outputs"][0]["filename"].startswith("é")
    text, params = encoded(json.dumps(graph)), encoded(json.dumps(prefix, ensure_ascii=False))
    request = encoded(json.dumps({"workflow": graph, "params": prefix}))
    for form in (
        {"workflow": ("a.json", text), "params": ("p.json", params)},
        {"workflow": (None, text), "params": (None, params)},
        {"request": (None, request)},
        {"request": ("r.json", request)},
    ):
        answer = await gateway.http.post(SUBMIT, files=form)
        assert answer.json()["status"] == "succeeded", answer.text
        assert answer.json()["outputs"][0]["filename"].startswith("é")


@encodings
async def test_saved_workflows(gateway: RunningGateway, encoded: Encode, tmp_path: Path) -> None:
    text = encoded(json.dumps(model_free()))
    answer = await gateway.http.post("/api/workflow/upload", files={"file": ("up.json", text)})
    assert answer.status_code == 201, answer.text
    (tmp_path / "workflows" / "put.json").write_bytes(text)
    listed = (await gateway.http.get("/api/workflows")).json()["workflows"]
    assert {entry["filename"]: entry["format"] for entry in listed} == {
        "up.json": "api",
        "put.json": "api",
    }
    for name in ("up.json", "put.json"):
        change = encoded(json.dumps({"filename": name, "params": {"1.color": 5}}))
        answer = await gateway.http.post("/api/workflow/update", content=change)
        assert answer.status_code == 200, answer.text
        run = await gateway.http.post(f"/api/workflow/{name}/run?wait=60", content=encoded("{}"))
        assert run.json()["status"] == "succeeded", run.text
    run = await gateway.http.post("/api/workflow/up.json/run?wait=60", content=encoded(""))
    assert run.json()["status"] == "succeeded", "a body of a mark alone is none"


def test_a_picture(tmp_path: Path) -> None:
    from app.workflows.embedded import extract

    info = PngInfo()
    info.add(b"tEXt", b"prompt\0" + json.dumps(model_free()).encode("utf-8-sig"))
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, "PNG", pnginfo=info)
    assert extract(content.getvalue()) == model_free()


@encodings
async def test_messages(gateway: RunningGateway, encoded: Encode) -> None:
    async with websockets.connect(f"ws://{gateway.address}/ws") as socket:
        for message in ("\ufeff" + json.dumps({"type": "ping"}), encoded('{"type": "ping"}')):
            await socket.send(message)
            while json.loads(await socket.recv())["type"] != "pong":
                pass


def test_keys() -> None:
    assert list(parse('\ufeff{"keys": []}')) == []


@encodings
def test_the_file_of_keys(encoded: Encode, tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_bytes(encoded(json.dumps({"keys": [entry()]})))
    assert [key.name for key in KeyFile(path).load()] == [entry()["name"]]
