"""Formats, checks and parameters: pure functions on graphs."""

import copy
import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidParameter, InvalidWorkflow, WorkflowFormatUnsupported
from app.services.prepare import prepare
from app.workflows.checks.prompt import check_outputs, check_structure
from app.workflows.formats import Format, describe, unwrap
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.model import list_parameters
from app.workflows.parameters.seeds import MAX_SEED
from tests.conftest import ROOT, text_to_image

Json = dict[str, Any]

SEED = ["INT", {"default": 0, "min": 0, "max": 2**64 - 1, "control_after_generate": True}]
INFO: Json = {
    "KSampler": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "seed": SEED,
                "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
                "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1}],
                "sampler_name": [["euler", "heun", "dpm_2"], {}],
                "scheduler": ["COMBO", {"options": ["normal", "karras"]}],
                "denoise": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0}],
            },
            "optional": {"note": ["STRING", {"multiline": True}]},
        }
    },
    "CLIPTextEncode": {"input": {"required": {"text": ["STRING", {"multiline": True}]}}},
    "LoadImage": {"input": {"required": {"image": [["a.png"], {"image_upload": True}]}}},
    "Switch": {"input": {"required": {"on": ["BOOLEAN", {"default": True}]}}},
    "Free": {"input": {"required": {"seed": ["INT", {"min": -1}]}}},
    "SaveImage": {"input": {"required": {}}, "output_node": True},
}


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


SAMPLER = {
    "3": node(
        "KSampler",
        model=["4", 0],
        seed=7,
        steps=20,
        cfg=8,
        sampler_name="euler",
        scheduler="normal",
        denoise=1.0,
    ),
    "4": node("Loader", name="x"),
    "6": node("CLIPTextEncode", text="a cat"),
    "8": node("LoadImage", image="a.png"),
    "9": node("Switch", on=True),
}


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
    kind, graph = unwrap(json.loads(path.read_text()))
    if kind is Format.API:  # those in UI format are run, in tests of the demo
        check_structure(graph)
        assert all(node["_meta"]["title"] for node in graph.values())
    else:
        assert kind is Format.UI
        assert all(node["type"] for node in graph["nodes"])


# -- checks -------------------------------------------------------------------------------------


def test_a_good_graph_passes() -> None:
    check_structure(text_to_image())


def test_every_bad_node_is_named() -> None:
    graph = {
        "1": "x",
        "2": {"inputs": {}},
        "3": node("A", a=["9", 0]),
        "4": node("A", x=float("inf")),
    }
    with pytest.raises(InvalidWorkflow) as caught:
        check_structure(graph)
    errors = caught.value.extra["node_errors"]
    assert {key: errors[key]["errors"][0]["type"] for key in errors} == {
        "1": "invalid_node",
        "2": "missing_class_type",
        "3": "link_to_missing_node",
        "4": "not_finite",
    }
    assert "3 more nodes" in caught.value.detail


def test_a_cycle_names_its_nodes() -> None:
    graph = {
        "1": node("A"),
        "2": node("A", a=["3", 0], b=["1", 0]),
        "3": node("A", a=["2", 0]),
    }
    with pytest.raises(InvalidWorkflow) as caught:
        check_structure(graph)
    assert set(caught.value.extra["node_errors"]) == {"2", "3"}


def test_a_long_chain_is_no_cycle() -> None:
    graph = {"0": node("A")}
    for number in range(1, 5000):
        graph[str(number)] = node("A", a=[str(number - 1), 0], b=[str(number - 1), 1])
    check_structure(graph)


def test_lists_that_are_no_links_pass() -> None:
    check_structure({"1": node("A", a=[1, 2], b=["x", "y"], c=["1"], d={"__value__": ["9", 0]})})


def test_outputs() -> None:
    check_outputs({"1": node("SaveImage")}, INFO)
    check_outputs({"1": node("Switch"), "2": node("Unknown")}, INFO)
    with pytest.raises(InvalidWorkflow, match="no output node"):
        check_outputs({"1": node("Switch")}, INFO)


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=10,
)
graphs = st.dictionaries(
    st.sampled_from(list("12345")),
    st.fixed_dictionaries(
        {
            "class_type": st.sampled_from([*INFO, "Unknown", 5]),
            "inputs": st.dictionaries(
                st.sampled_from(["seed", "text", "model", "cfg", "image"]),
                json_values | st.tuples(st.sampled_from("123456"), st.just(0)).map(list),
            )
            | json_values,
        }
    )
    | json_values,
)


@given(graphs | json_values, st.dictionaries(st.sampled_from(["1.seed", "2.text"]), json_values))
def test_only_our_errors_come_out(workflow: Any, params: Json) -> None:
    for info in ({}, INFO):
        with suppress(InvalidWorkflow):
            prepare(copy.deepcopy(workflow), [params], info)


# -- parameters ---------------------------------------------------------------------------------


def test_parameters_have_types_and_limits() -> None:
    found = {p.key: p for p in list_parameters(SAMPLER, INFO)}
    assert "3.model" not in found
    steps = found["3.steps"]
    assert (steps.type, steps.min, steps.max, steps.default) == ("int", 1, 10000, 20)
    assert found["3.sampler_name"].choices == ["euler", "heun", "dpm_2"]
    assert found["3.scheduler"].choices == ["normal", "karras"]
    assert found["6.text"].multiline
    assert found["8.image"].upload
    assert found["4.name"].type == "string"  # a class nobody knows: told from the value


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("3.steps", 5, 5),
        ("3.steps", 5.0, 5),
        ("3.cfg", 3, 3),
        ("3.cfg", 3.5, 3.5),
        ("3.steps", " 42 ", 42),
        ("3.cfg", "6.5", 6.5),
        ("3.cfg", "1e1", 10.0),
        ("3.seed", "18446744073709551615", 2**64 - 1),
        ("9.on", "false", False),
        ("9.on", "True", True),
        ("3.sampler_name", "heun", "heun"),
        ("6.text", "", ""),
        ("9.on", False, False),
        ("8.image", "uploaded later.png", "uploaded later.png"),
        ("3.note", "optional, not in the file", "optional, not in the file"),
        ("4.name", "y", "y"),
    ],
)
def test_values_that_fit(key: str, value: Any, expected: Any) -> None:
    changed, used = apply_params(SAMPLER, {key: value}, INFO)
    node_id, name = key.split(".")
    assert changed[node_id]["inputs"][name] == expected
    assert type(changed[node_id]["inputs"][name]) is type(expected)
    assert used == {key: expected}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("3.steps", "five", "a number"),
        ("3.steps", "5.5", "a number"),
        ("3.steps", "", "a number"),
        ("3.steps", "0", "at least 1"),
        ("3.steps", "9" * 5000, "a number"),
        ("3.cfg", "nan", "a finite number"),
        ("3.steps", True, "a number"),
        ("3.steps", float("inf"), "a finite number"),
        ("3.steps", 5.5, "a whole number"),
        ("3.steps", 0, "at least 1"),
        ("3.steps", 10001, "at most 10000"),
        ("3.seed", -2, "at least 0"),
        ("3.sampler_name", "eular", "nearest are 'euler'"),
        ("3.sampler_name", "zzz", "they are 'euler', 'heun', 'dpm_2'"),
        ("3.sampler_name", 5, "not among"),
        ("3.scheduler", None, "not among"),
        ("6.text", 5, "a string"),
        ("6.text", None, "a string"),
        ("9.on", 1, "true or false"),
        ("9.on", "yes", "true or false"),
        ("4.name", 1, "a string"),
        ("3.model", "x", "fed by node '4'"),
        ("3.stepz", 1, "Did you mean '3.steps'"),
        ("33.steps", 1, "Did you mean '3.steps'"),
        ("stepps", 1, "Did you mean 'steps'"),
        ("", 1, "no parameter ''"),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any, words: str) -> None:
    before = copy.deepcopy(SAMPLER)
    with pytest.raises(InvalidParameter) as caught:
        apply_params(SAMPLER, {key: value}, INFO)
    assert words in caught.value.detail
    assert caught.value.extra["parameter"] == key
    assert before == SAMPLER


def test_a_seed_of_minus_one_is_a_random_one() -> None:
    changed, used = apply_params(SAMPLER, {"3.seed": -1}, INFO)
    assert 0 <= used["3.seed"] <= MAX_SEED
    assert changed["3"]["inputs"]["seed"] == used["3.seed"]
    seeds = {apply_params(SAMPLER, {"3.seed": -1}, INFO)[1]["3.seed"] for _ in range(5)}
    assert len(seeds) > 1


def test_so_is_one_in_the_file() -> None:
    graph = {"1": node("KSampler", seed=-1), "2": node("Other", noise_seed=-1)}
    drawn = iter([5, 6])
    changed, used = apply_params(graph, {}, INFO, new_seed=lambda *_: next(drawn))
    assert used == {"1.seed": 5, "2.noise_seed": 6}
    assert changed["2"]["inputs"]["noise_seed"] == 6


def test_where_minus_one_has_a_meaning_it_stays() -> None:
    changed, used = apply_params({"1": node("Free", seed=-1)}, {}, INFO)
    assert (changed["1"]["inputs"]["seed"], used) == (-1, {})


def test_without_object_info_the_type_must_stay() -> None:
    assert apply_params(SAMPLER, {"3.steps": 3}, {})[0]["3"]["inputs"]["steps"] == 3
    assert apply_params(SAMPLER, {"3.steps": "3"}, {})[0]["3"]["inputs"]["steps"] == 3
    with pytest.raises(InvalidParameter, match="a number"):
        apply_params(SAMPLER, {"3.steps": "x"}, {})
    with pytest.raises(InvalidParameter, match="a string"):
        apply_params(SAMPLER, {"6.text": 3}, {})


@pytest.mark.parametrize("value", [1, -1, 2])
def test_an_input_is_set_once(value: int) -> None:
    with pytest.raises(InvalidParameter, match="same input") as fault:
        apply_params(text_to_image(), {"seed": 1, "3.seed": value}, {})
    assert {"seed", "3.seed"} <= set(str(fault.value.detail).replace("'", '"').split('"'))
