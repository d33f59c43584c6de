"""What the gateway answers to prompts is what ComfyUI answers, for graphs recorded from it."""

import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, over

Json = dict[str, Any]
FOLDER = Path(__file__).parent.parent / "fixtures" / "comfyui"
RECORDED = json.loads(gzip.decompress((FOLDER / "validation-0.33.0.json.gz").read_bytes()))


async def test_recorded_graphs_are_answered_as_by_a_server(
    settings_for: Callable[..., Settings], demo: DemoServer
) -> None:
    async with (
        over(settings_for, demo) as gateway,
        httpx.AsyncClient(base_url=f"http://{demo.address}") as direct,
    ):
        for case in RECORDED["cases"]:
            body = {"prompt": case["prompt"]}
            if "targets" in case:
                body["partial_execution_targets"] = case["targets"]
            there = await direct.post("/prompt", json=body)
            here = await gateway.http.post("/prompt", json=body)
            assert here.status_code == there.status_code, (case["note"], here.text)
            told, wanted = here.json(), there.json()
            assert told.keys() == wanted.keys(), case["note"]
            assert told.get("error") == wanted.get("error"), case["note"]
            assert told["node_errors"] == wanted["node_errors"], case["note"]


async def test_nan_in_what_comfyui_itself_wrote(gateway: RunningGateway) -> None:
    """It writes `is_changed` into the prompts of pictures, and takes them back."""
    prompt = model_free()
    prompt["1"]["is_changed"] = [math.nan]
    body = {"prompt": prompt, "number": math.nan, "extra_data": {"a": math.inf}}
    answer = await gateway.http.post("/prompt", content=json.dumps(body))
    assert answer.status_code == 200, answer.text
    prompt["1"]["inputs"]["width"] = math.nan
    answer = await gateway.http.post("/prompt", content=json.dumps({"prompt": prompt}))
    assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("value", ["http://127.0.0.1:1/x.png", "data:image/png;base64,AAAA"])
async def test_a_url_is_no_input_file(gateway: RunningGateway, value: str) -> None:
    """ComfyUI fetches none: it is refused at once, not by a server later."""
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": value}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    answer = await gateway.http.post("/prompt", json={"prompt": prompt})
    assert answer.status_code == 400, answer.text
    assert set(answer.json()["node_errors"]) == {"1"}


ODD: list[Any] = [
    *("[]", "null", "7", '"x"', "{", "", "{}", '{"prompt": null}', '{"prompt": []}'),
    *('{"prompt": "x"}', '{"prompt": {"1": "x"}}', '{"prompt": {"1": null}}', '{"prompt": {}}'),
    '{"prompt": {"1": {"class_type": "EmptyImage", "inputs": null}}}',
    '{"prompt": {"1": {"class_type": {}, "inputs": {}}}}',
]


@pytest.mark.parametrize("content", ODD)
async def test_an_odd_body_is_refused_in_comfyuis_form(
    gateway: RunningGateway, content: str
) -> None:
    answer = await gateway.http.post("/prompt", content=content)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error.keys() == {"type", "message", "details", "extra_info"}
    assert error["message"]
    assert answer.json()["node_errors"] == {}


@pytest.mark.parametrize(
    "fields",
    [
        {"client_id": {}},
        {"client_id": ["a"]},
        {"client_id": "x" * 201},
        {"client_id": "a\0b"},
        {"extra_data": []},
        {"extra_data": 7},
        {"extra_data": {"client_id": []}},
        {"number": "abc"},
        {"number": []},
        {"partial_execution_targets": 7},
        {"partial_execution_targets": [{}]},
        {"prompt_id": "X"},
        {"prompt_id": ""},
        {"prompt_id": 5},
        {"prompt_id": "0E499658-607F-41B3-A014-FFC56AC0F255"},
    ],
)
async def test_a_field_of_another_kind_is_refused(gateway: RunningGateway, fields: Json) -> None:
    answer = await gateway.http.post("/prompt", json={"prompt": model_free(), **fields})
    assert answer.status_code == 400, answer.text
    (name,) = fields
    error = answer.json()["error"]
    assert name in error["message"] or "client_id" in error["message"]
    if name == "prompt_id":
        assert error["type"] == "invalid_prompt_id"


@pytest.mark.parametrize(
    "headers",
    [
        {"content-type": "text/plain;charset=UTF-8"},
        {"content-type": "application/x-www-form-urlencoded"},
        {},
    ],
)
async def test_the_content_type_does_not_matter(
    gateway: RunningGateway, headers: dict[str, str]
) -> None:
    body = b"\xef\xbb\xbf" + json.dumps({"prompt": model_free(), "client_id": 7}).encode()
    answer = await gateway.http.post("/prompt", content=body, headers=headers)
    assert answer.status_code == 200, answer.text


async def test_values_are_those_that_comfyui_makes_of_them(gateway: RunningGateway) -> None:
    graph = model_free()
    graph["1"]["inputs"]["width"] = "16"
    graph["3"]["inputs"]["filename_prefix"] = {"__value__": "wrapped"}
    posted = (await gateway.http.post("/prompt", json={"prompt": graph})).json()
    rows = (await gateway.http.get("/queue")).json()
    entries = (await gateway.http.get("/history")).json()
    found = [row for part in rows.values() for row in part]
    found += [entry["prompt"] for entry in entries.values()]
    assert [row[1] for row in found] == [posted["prompt_id"]]
    assert found[0][2]["1"]["inputs"]["width"] == 16
    assert found[0][2]["3"]["inputs"]["filename_prefix"] == {"__value__": "wrapped"}
