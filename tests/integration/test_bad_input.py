"""Whatever is sent: a 4xx problem that says what to do, and nothing is queued."""

import json
from typing import Any

import pytest

from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free

SUBMIT = "/api/workflow/submit"
PROBLEM = {"type", "title", "status", "detail", "code"}


def broken(**nodes: Any) -> bytes:
    return json.dumps({**model_free(), **nodes}).encode()


def envelope(**form: Any) -> bytes:
    return json.dumps({"workflow": model_free(), **form}).encode()


BAD: dict[str, tuple[bytes, int, str]] = {
    "empty": (b"", 400, "empty"),
    "not json": (b"{workflow: 1}", 400, "line 1"),
    "array": (b"[]", 422, "an array"),
    "number": (b"1", 422, "a number"),
    "null": (b"null", 422, "null"),
    "empty object": (b"{}", 422, "workflow"),
    "too large": (b" " * (65 * 1024 * 1024), 413, "COMFYUI_MAX_BODY_BYTES"),
    "deep": (b'{"a":' * 50_000 + b"1" + b"}" * 50_000, 400, "levels"),
    "rather deep": (b'{"a":' * 150 + b"1" + b"}" * 150, 400, "levels"),
    "not utf-8": (b'{"a": "\xff"}', 400, "UTF-8"),
    "half a surrogate": (b'{"a": "\\ud800"}', 400, "surrogate"),
    "nan": (b'{"1": {"class_type": "KSampler", "inputs": {"cfg": NaN}}}', 400, "NaN"),
    "huge number": (b'{"a": ' + b"9" * 5000 + b"}", 400, "JSON"),
    "infinity": (
        b'{"1": {"class_type": "KSampler", "inputs": {"cfg": 1e999}}}',
        422,
        "not finite",
    ),
    "unknown class": (
        broken(**{"2": {"class_type": "ImageInvrt", "inputs": {"image": ["1", 0]}}}),
        422,
        "Did you mean 'ImageInvert'",
    ),
    "link to a missing node": (
        broken(**{"2": {"class_type": "ImageInvert", "inputs": {"image": ["99", 0]}}}),
        422,
        "'99'",
    ),
    "such a link in an unknown input": (  # kills ComfyUI's worker
        broken(
            **{"2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0], "x": ["9", 0]}}}
        ),
        422,
        "'9'",
    ),
    "cycle": (
        broken(**{"2": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}}}),
        422,
        "cycle",
    ),
    "no output": (
        b'{"1": {"class_type": "EmptyImage", "inputs": {"width": 8}}}',
        422,
        "no output node",
    ),
    "node is a string": (broken(**{"2": "x"}), 422, "must be an object"),
    "no class_type": (broken(**{"2": {"inputs": {}}}), 422, "class_type"),
    "class_type is an object": (
        broken(**{"2": {"class_type": {}, "inputs": {}}}),
        422,
        "class_type",
    ),
    "inputs is a list": (
        broken(**{"2": {"class_type": "ImageInvert", "inputs": []}}),
        422,
        "inputs",
    ),
    "ui format without nodes": (b'{"nodes": [], "links": []}', 422, "no output node"),
    "some other json": (b'{"name": "x", "version": 1}', 422, "workflow"),
    "unknown field": (envelope(parms={}), 422, "parms"),
    "both sources": (envelope(filename="a.json"), 422, "filename"),
    "params is a list": (envelope(params=[]), 422, "params"),
    "negative timeout": (envelope(timeout=-1), 422, "timeout"),
    "priority is a word": (envelope(priority="high"), 422, "priority"),
    "unknown param": (envelope(params={"1.widht": 8}), 422, "Did you mean '1.width'"),
    "param of wrong type": (envelope(params={"1.width": "wide"}), 422, "1.width"),
    "param too large": (envelope(params={"1.width": 10**9}), 422, "at most"),
    "param is a link": (envelope(params={"2.image": 1}), 422, "fed by node '1'"),
    "unknown file": (b'{"filename": "nothing.json"}', 404, "nothing.json"),
    "file outside": (b'{"filename": "../../etc/passwd"}', 422, "name of a workflow"),
    "unknown server": (envelope(server="elsewhere:1"), 404, "elsewhere:1"),
}


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_submit(gateway: RunningGateway, demo: DemoServer, name: str) -> None:
    body, status, words = BAD[name]
    answer = await gateway.http.post(
        SUBMIT, content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert set(problem) >= PROBLEM
    assert problem["status"] == status
    assert words in problem["detail"] + str(problem.get("hint")), problem
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []
    assert not demo.records.prompts
    assert (await gateway.submit(model_free()))["status"] == "succeeded"


async def test_node_errors_name_the_nodes(gateway: RunningGateway) -> None:
    body = {"1": {"class_type": "Nope", "inputs": {}}, "2": {"class_type": "Nada", "inputs": {}}}
    problem = (await gateway.http.post(SUBMIT, json=body)).json()
    assert set(problem["node_errors"]) == {"1", "2"}
    assert problem["node_errors"]["1"]["class_type"] == "Nope"
    assert problem["node_errors"]["1"]["errors"][0]["type"] == "missing_node_type"
    body["1"]["class_type"] = "SaveImages"
    problem = (await gateway.http.post(SUBMIT, json=body)).json()
    assert (problem["code"], problem["missing"]["node_types"]) == (
        "not_runnable",
        ["Nada", "SaveImages"],
    )
    assert "Did you mean" in problem["detail"]
    assert "'SaveImage'" in problem["detail"]


async def test_faults_of_values_are_named_before_queueing(
    gateway: RunningGateway, demo: DemoServer
) -> None:
    """By ComfyUI's rules, and as its node_errors; more of them in test_faults_first.py."""
    bad = model_free()
    bad["1"]["inputs"] |= {"width": 0, "height": "high"}
    del bad["3"]["inputs"]["filename_prefix"]
    problem = (await gateway.http.post(SUBMIT, json=bad)).json()
    assert (problem["status"], problem["code"]) == (422, "invalid_workflow")
    assert {
        node_id: [error["type"] for error in node["errors"]]
        for node_id, node in problem["node_errors"].items()
    } == {
        "1": ["value_smaller_than_min", "invalid_input_type"],
        "3": ["required_input_missing"],
    }
    assert problem["node_errors"]["1"]["dependent_outputs"] == ["3"]
    assert not demo.records.prompts


async def test_a_body_without_a_length(gateway: RunningGateway) -> None:
    async def chunks() -> Any:
        for _ in range(70):
            yield b" " * (1024 * 1024)

    answer = await gateway.http.post(SUBMIT, content=chunks())
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/task/nope", 404),
        ("POST", "/api/task/nope/cancel", 404),
        ("POST", "/api/task/nope/retry", 404),
        ("GET", "/api/task/nope/events", 404),
        ("DELETE", "/api/task/nope", 404),
        ("GET", "/api/tasks?limit=0", 422),
        ("GET", "/api/tasks?status=done", 422),
        ("GET", "/api/tasks?cursor=abc", 422),
        ("GET", "/api/image/nope.png", 404),
        ("GET", "/api/image/nope.png?type=input", 404),
        ("GET", "/api/image/..%2f..%2fetc%2fpasswd", 404),
        ("GET", "/api/image/a.png?server=nowhere:1", 404),
        ("GET", "/api/workflow/nope.json", 404),
        ("GET", "/api/workflow/..%2f.env", 404),
        ("GET", "/api/models/no-such-folder", 404),
        ("GET", "/api/nodes?class_type=NoSuchNode", 404),
        ("GET", "/api/nope", 404),
        ("PUT", "/api/tasks", 405),
    ],
)
async def test_other_errors_have_the_same_shape(
    gateway: RunningGateway, method: str, path: str, status: int
) -> None:
    answer = await gateway.http.request(method, path)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= PROBLEM
