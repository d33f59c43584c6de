"""What is a workflow, and in which format."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import WorkflowFormatUnsupported
from app.workflows.checks.prompt import check_structure
from app.workflows.formats import Format, describe, unwrap
from tests.conftest import ROOT, model_free, text_to_image
from tests.unit.workflows.saved.test_library import ANYTHING

API = model_free()
UI = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}
EXTRA = {"extra_pnginfo": {"workflow": UI}, "client_id": "x"}


# -- formats ------------------------------------------------------------------------------------
def entry(item: list[Any]) -> dict[str, Any]:
    return {"prompt": item, "outputs": {}, "status": {"completed": True}, "meta": {}}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"workflow": API}, Format.API),
        ({"workflow": UI}, Format.UI),
        ({"workflow": {"workflow": API}}, Format.API),
        ({"prompt": API, "extra_data": EXTRA, "client_id": "x"}, Format.API),
        ({"prompt": {}, "extra_data": EXTRA}, Format.UI),
        ({"prompt": API, "workflow": UI}, Format.API),
        ({"workflow": UI, "prompt": API}, Format.API),
        ([3, "id", API, EXTRA, ["9"]], Format.API),
        ([3.5, "id", API], Format.API),
        ([3, "id", {}, EXTRA, []], Format.UI),
        (entry([3, "id", API, EXTRA, []]), Format.API),
        ({"id": entry([3, "id", API, EXTRA, []])}, Format.API),
        ({"workflow": {"id": entry([3, "id", API, {}, []])}}, Format.API),
    ],
)
def test_what_is_wrapped_around_a_workflow(value: Any, kind: Format) -> None:
    assert unwrap(value) == (kind, API if kind is Format.API else UI)


def test_what_comfyuis_history_answers() -> None:
    history = json.loads(
        (ROOT / "tests/fixtures/pictures/history.json").read_text(encoding="utf-8")
    )
    kind, graph = unwrap(history)
    assert (kind, graph["1"]["class_type"]) == (Format.API, "EmptyImage")


def test_wrapping_has_an_end() -> None:
    value: Any = API
    for _ in range(20):
        value = {"workflow": value}
    with pytest.raises(WorkflowFormatUnsupported, match="the keys 'workflow'"):
        unwrap(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": entry([1, "a", API]), "b": entry([2, "b", API])}, "a history of 2 prompts"),
        ([1, 2, API], "an array of 3 items"),
        ([API], "an array of 1 items"),
        ({"extra_data": []}, "'extra_data'"),
        ({"prompt": [1, "x"]}, "'prompt'"),
    ],
)
def test_what_is_no_workflow(value: Any, words: str) -> None:
    with pytest.raises(WorkflowFormatUnsupported) as caught:
        unwrap(value)
    assert words in caught.value.detail


@given(ANYTHING)
def test_arbitrary_json_gives_a_graph_or_our_error(value: Any) -> None:
    with suppress(WorkflowFormatUnsupported):
        assert isinstance(unwrap(value)[1], dict)


Json = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


# -- formats ------------------------------------------------------------------------------------
def test_formats() -> None:
    api, ui = text_to_image(), {"nodes": [], "links": [], "version": 0.4}
    assert unwrap(api) == (Format.API, api)
    assert unwrap(ui) == (Format.UI, ui)
    assert unwrap({"prompt": api, "client_id": "x"}) == (Format.API, api)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "an empty object"),
        ([1, 2], "an array of 2 items"),
        ("x", "a string"),
        (None, "null"),
        (True, "a boolean"),
        ({"name": 1, "b": 2}, "the keys 'name', 'b'"),
        ({"prompt": "a cat"}, "the keys 'prompt'"),
    ],
)
def test_what_is_no_workflow_is_described(value: Any, words: str) -> None:
    with pytest.raises(WorkflowFormatUnsupported) as caught:
        unwrap(value)
    assert words in caught.value.detail


@given(st.recursive(st.none() | st.text() | st.integers(), st.lists, max_leaves=5))
def test_anything_can_be_described(value: Any) -> None:
    assert describe(value)


@pytest.mark.parametrize("path", sorted((ROOT / "workflows").glob("*.json")), ids=lambda p: p.name)
def test_the_shipped_workflows(path: Any) -> None:
    kind, graph = unwrap(json.loads(path.read_text(encoding="utf-8")))
    if kind is Format.API:  # those in UI format are run, in tests of the demo
        check_structure(graph)
        assert all(node["_meta"]["title"] for node in graph.values())
    else:
        assert kind is Format.UI
        assert all(node["type"] for node in graph["nodes"])
