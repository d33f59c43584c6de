"""Keys of parameters: ids of nodes and names of inputs may hold dots, and be odd otherwise."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidParameter
from app.services.batches import expand
from app.services.prepare import prepare
from app.workflows.openapi import document
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.file_inputs import file_inputs
from app.workflows.parameters.find import readings
from app.workflows.parameters.model import list_parameters

Json = dict[str, Any]
INFO: Json = {
    "Show": {"input": {"required": {"text": ["STRING", {}]}}, "output_node": True},
    "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}},
    "Resize": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "none", "inputs": {}},
                            {"key": "size", "inputs": {"required": {"w": ["INT", {"max": 9}]}}},
                        ]
                    },
                ]
            }
        }
    },
}


def show(text: str = "old") -> Json:
    return {"class_type": "Show", "inputs": {"text": text}}


@pytest.mark.parametrize(
    "node_id", ["a.b", "1.2.3", ".", "..", "", "a.", ".a", "5:7", "5:7.1", "__proto__", "prompt"]
)
def test_any_id_of_a_node_can_stand_in_a_key(node_id: str) -> None:
    graph = {node_id: show(), "other": show()}
    changed, used = apply_params(graph, {f"{node_id}.text": "new"}, INFO)
    assert changed == {node_id: show("new"), "other": show()}
    assert used == {f"{node_id}.text": "new"}


def test_an_input_without_a_name_can_be_set() -> None:
    graph = {"1": {"class_type": "Odd", "inputs": {"": "old"}}}
    assert apply_params(graph, {"1.": "new"}, {})[0]["1"]["inputs"] == {"": "new"}


def test_of_ids_that_begin_alike_the_longest_counts() -> None:
    graph = {"a": show(), "a.b": show(), "a.b.c": show()}
    for node_id in graph:
        changed, _ = apply_params(graph, {f"{node_id}.text": "new"}, INFO)
        assert changed == {**graph, node_id: show("new")}


def test_the_longest_is_passed_over_if_it_has_no_such_input() -> None:
    graph = {
        "1": {"class_type": "Resize", "inputs": {"mode": "size", "mode.w": 1}},
        "1.mode": show(),
    }
    changed, _ = apply_params(graph, {"1.mode.w": 5, "1.mode.text": "new"}, INFO)
    assert changed["1"]["inputs"] == {"mode": "size", "mode.w": 5}
    assert changed["1.mode"] == show("new")


def test_what_a_choice_brings_with_it_can_be_set_in_one_go_and_in_any_order() -> None:
    graph = {"a.b": {"class_type": "Resize", "inputs": {"mode": "none"}}}
    for params in (
        {"a.b.mode": "size", "a.b.mode.w": 5},
        {"a.b.mode.w": 5, "a.b.mode": "size"},
        {"a.b.mode.w": 5, "mode": "size"},
    ):
        changed, used = apply_params(graph, params, INFO)
        assert changed["a.b"]["inputs"] == {"mode": "size", "mode.w": 5}
        assert used == params
    with pytest.raises(InvalidParameter, match=r"no parameter 'a\.b\.mode\.w'"):
        apply_params(graph, {"a.b.mode.w": 5}, INFO)
    with pytest.raises(InvalidParameter, match="at most 9"):
        apply_params(graph, {"a.b.mode.w": 10, "a.b.mode": "size"}, INFO)


def test_a_batch_over_a_choice_has_what_each_one_brings() -> None:
    graph = {"1": {"class_type": "Resize", "inputs": {"mode": "none"}}, "2.x": show()}
    sets = expand(
        {}, {"1.mode": ["size", "size"], "1.mode.w": [3, 4], "2.x.text": ["a", "b"]}, "zip"
    )
    made = [one.whole() for one in prepare(graph, sets, INFO)]
    assert [one["1"]["inputs"]["mode.w"] for one in made] == [3, 4]
    assert [one["2.x"]["inputs"]["text"] for one in made] == ["a", "b"]
    with pytest.raises(InvalidParameter, match=r"no parameter '1\.mode\.w'"):
        prepare(graph, expand({"1.mode.w": 3}, {"1.mode": ["size", "none"]}, "zip"), INFO)


def test_a_link_is_told_under_such_a_key() -> None:
    graph = {"a.b": {"class_type": "Show", "inputs": {"text": ["c.d", 0]}}, "c.d": show()}
    with pytest.raises(InvalidParameter, match=r"'a\.b\.text' is fed by node 'c\.d'"):
        apply_params(graph, {"a.b.text": "new"}, INFO)


def test_no_name_is_a_key() -> None:
    graph = {
        "mode": {"class_type": "Other", "inputs": {"w": 1}},
        "7": {"class_type": "Resize", "inputs": {"mode": "size", "mode.w": 2}},
    }
    changed, _ = apply_params(graph, {"mode.w": 5}, INFO)
    assert [changed["mode"]["inputs"]["w"], changed["7"]["inputs"]["mode.w"]] == [5, 2]


def test_documents_and_files_know_such_keys() -> None:
    graph = {"a.b": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}, "a": show()}
    found = document("w.json", "1", "/run", list_parameters(graph, INFO))
    body = found["paths"]["/run"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["params"]["properties"]["a.b.image"]["title"] == "LoadImage: image"
    assert file_inputs(graph, ["a.b.image", "a.text"], INFO) == {"a.b.image": "image"}


WORDS = st.text(alphabet="ab.:_", max_size=5)


@given(st.dictionaries(WORDS, st.sets(WORDS, min_size=1, max_size=3), min_size=1, max_size=5))
def test_what_is_listed_can_be_set_by_its_key(shape: dict[str, set[str]]) -> None:
    graph = {
        node_id: {"class_type": "Odd", "inputs": dict.fromkeys(sorted(names), "old")}
        for node_id, names in shape.items()
    }
    for parameter in list_parameters(graph, {}):
        changed, _ = apply_params(graph, {parameter.key: "new"}, {})
        meant = [
            (node_id, name)
            for node_id, name in readings(parameter.key, graph)
            if name in graph[node_id]["inputs"]
        ]
        expected = {
            node_id: {**node, "inputs": dict(node["inputs"])} for node_id, node in graph.items()
        }
        expected[meant[0][0]]["inputs"][meant[0][1]] = "new"
        assert changed == expected
        assert (parameter.node_id, parameter.input) in meant
        if parameter.name:  # which no key can take away
            changed, _ = apply_params(graph, {parameter.name: "new"}, {})
            assert changed[parameter.node_id]["inputs"][parameter.input] == "new"
