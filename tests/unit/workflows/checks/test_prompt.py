"""Graphs are checked: structure, links, cycles, outputs."""

from typing import Any

import pytest

from app.errors import InvalidWorkflow
from app.workflows.checks.prompt import check_outputs, check_structure, needed_by_outputs
from tests.conftest import text_to_image
from tests.unit.workflows.checks.test_node_inputs import shown

Json = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


# -- what no output needs -----------------------------------------------------------------------
def test_needed_are_those_before_outputs_by_any_input() -> None:
    info = shown("INT")
    prompt = {
        "a": node("Core"),
        "b": node("Core", unheard=["a", 0]),
        "out": node("It", unheard=["b", 0]),
        "c": node("Core", x=["a", 0]),
    }
    assert list(needed_by_outputs(prompt, info)) == ["a", "b", "out"]
    assert list(needed_by_outputs({"x": node("Unheard"), "c": node("Core")}, info)) == ["x"]
    assert check_structure({**prompt, "c": node("Core", x=["nowhere", 0])}, info)


def test_warnings_stay_few() -> None:
    prompt = {"out": node("It", value=1)}
    prompt |= {str(number): node("Core", x=["nowhere", 0]) for number in range(9000)}
    assert len(check_structure(prompt, shown("INT"))) == 21


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
