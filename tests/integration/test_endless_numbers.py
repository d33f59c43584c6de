"""No number that is infinite, or none at all, breaks an answer: wherever one may come in, as JSON
or as text, it is refused by the name of its field, or is a text as any other."""

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from app.comfyui.inputs import NodeTypes
from app.errors import InvalidWorkflow
from app.limits.quoting import bounded
from app.servers.core_nodes import core_node_types
from app.workflows.checks.numbers import check_numbers
from fake_comfyui.server import DemoServer
from tests.conftest import RunningGateway, model_free, text_to_image

pytestmark = pytest.mark.slow

Json = dict[str, Any]

TEXTS = ("inf", "-inf", " +Infinity ", "nan", "NaN", "1e999", "-1e999", "9" * 400, "9" * 4000)
LITERALS = ("NaN", "Infinity", "-Infinity", "1e999", "-1e999")
SUBMIT = "/api/workflow/submit"


def strictly(text: str) -> Any:
    """Of an answer: what is no JSON to others is none here."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} in {text[:300]}")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("text", TEXTS)
async def test_text_in_a_number(gateway: RunningGateway, demo: DemoServer, text: str) -> None:
    graph = text_to_image()
    in_graph = text_to_image()
    in_graph["3"]["inputs"]["cfg"] = text
    for path, body in (
        (SUBMIT, {"workflow": graph, "params": {"3.cfg": text}}),
        (SUBMIT, {"workflow": graph, "batch": {"3.cfg": [7.5, text]}}),
        (SUBMIT, {"workflow": in_graph}),
        (SUBMIT, in_graph),
        ("/prompt", {"prompt": in_graph}),
        ("/api/v2/jobs", {"workflow": in_graph}),
        ("/api/workflow/convert", {"workflow": graph, "params": {"3.cfg": text}}),
    ):
        answer = await gateway.http.post(path, json=body)
        if path == "/prompt":
            assert answer.status_code < 500
            continue
        assert answer.status_code in (400, 422), (path, answer.status_code, answer.text)
        strictly(answer.text)
        assert "cfg" in answer.text, answer.text
        assert re.search(r"\b(a|finite) number", answer.text)
    for path in ("/api/workflow/parameters", "/api/workflow/convert"):  # nothing is queued
        answer = await gateway.http.post(path, json=in_graph)
        assert answer.status_code < 500
        strictly(answer.text)
    assert not demo.records.prompts
    # Where a text is wanted it is one.
    task = await gateway.submit(model_free(prefix=text[:50]))
    assert task["status"] == "succeeded"


@pytest.mark.parametrize("text", TEXTS)
def test_each_number_of_each_node_type(text: str) -> None:
    types = core_node_types()
    looked = 0
    for class_type in types:
        for found in NodeTypes(types).inputs(class_type, {}):
            prompt = {"1": {"class_type": class_type, "inputs": {found.name: text}}}
            refused = None
            try:
                check_numbers(prompt, types)
            except InvalidWorkflow as error:
                refused = error
            assert (refused is not None) is (found.kind in ("INT", "FLOAT")), (class_type, found)
            looked += refused is not None
            assert refused is None or found.name in str(refused.extra["node_errors"])
    assert looked > 50


def places(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each leaf of a body, and the body with a mark in its place."""
    if isinstance(value, dict):
        for name, item in value.items():
            for where, changed in places(item, f"{path}.{name}"):
                yield where, {**value, name: changed}
    elif isinstance(value, list):
        for place, item in enumerate(value):
            for where, changed in places(item, f"{path}[{place}]"):
                yield where, [*value[:place], changed, *value[place + 1 :]]
    else:
        yield path, "@mark@"


def submits() -> Iterator[tuple[str, Json]]:
    common: Json = {"priority": 1, "metadata": {"a": {"b": [1, 2]}}, "server": "127.0.0.1:1"}
    page = {"workflow": {"nodes": [{"id": 1}], "version": 0.4}}
    run = {
        **common,
        "timeout": 60,
        "wait_for_server": False,
        "batch_mode": "zip",
        "randomize": False,
        "fill_texts": True,
        "embed_workflow": True,
        "extra_data": {"mine": [1.5, {"b": 2}], "preview_method": "none", "extra_pnginfo": page},
    }
    yield SUBMIT, {"workflow": text_to_image(), "params": {"3.cfg": 7.5, "3.steps": 4}, **run}
    yield SUBMIT, {"workflow": text_to_image(), "batch": {"3.cfg": [7.5], "3.seed": [1]}, **run}
    yield "/api/v2/jobs", {"workflow": text_to_image(), "metadata": common["metadata"]}
    yield "/api/history/delete", {"task_ids": ["x"]}
    yield "/api/servers", {"address": "127.0.0.1:1", "slots": 2}


async def test_every_field_of_a_body(gateway: RunningGateway) -> None:
    for server in list(gateway.gateway.pool):  # what is taken is not run
        await gateway.http.post(f"/api/servers/{server.id}/drain")
    for path, body in submits():
        for where, changed in places(body):
            marked = json.dumps(changed)
            for text in (*LITERALS, *(json.dumps(text) for text in TEXTS)):
                answer = await gateway.http.post(path, content=marked.replace('"@mark@"', text))
                assert answer.status_code < 500, (path, where, text, answer.text)
                strictly(answer.text)
                if text in LITERALS:
                    assert answer.status_code in (400, 422), (path, where, text, answer.text)
    strictly((await gateway.http.get("/api/tasks?limit=1000")).text)


async def test_what_a_server_says(gateway: RunningGateway, demo: DemoServer) -> None:
    odd = [float("inf"), {"a": float("nan"), "b": [float("-inf")]}, "NaN", 10**400]
    for key in ("text", "result", "value", "images", "scores"):
        demo.knobs.say = {key: odd}
        graph = model_free()
        graph["9"] = {"class_type": "PreviewAny", "inputs": {"source": key}}
        task = await gateway.submit(graph)
        assert task["status"] == "succeeded", task
        for path in ("", "/events"):
            got = await gateway.http.get(f"/api/task/{task['task_id']}{path}")
            assert got.status_code == 200
            for line in got.text.splitlines():
                if line.startswith(("data: ", "{")):
                    strictly(line.removeprefix("data: "))
    for path in ("/api/tasks", "/api/history", "/api/v2/jobs", "/api/servers", "/api/system"):
        strictly((await gateway.http.get(path)).text)


def test_errors_are_json_whatever_they_hold() -> None:
    endless = {"a": float("nan"), "b": [float("inf"), 1.5], "detail": "x"}
    assert json.loads(json.dumps(bounded(endless), allow_nan=False)) == {
        "detail": "x",
        "a": "nan",
        "b": ["inf", 1.5],
    }
