"""ComfyUI's rules for prompts, held against what real servers of two versions answered."""

import copy
import gzip
import json
from typing import Any

import pytest

from app.comfyui.inputs import NodeTypes
from app.comfyui.own_rules import FILE_INPUTS
from app.comfyui.problems import Problem, custom_validation_failed
from app.comfyui.validation import PromptRules, TooDeep, Validator, Verdict, fits
from tests.unit.recordings import FOLDER, VERSIONS

Json = dict[str, Any]
CYCLE = "cycle 2->4->2"  # of which 0.3.64 names no node


MISMATCH, MISSING = "return_type_mismatch", "required_input_missing"


def recorded(version: str) -> Json:
    found: Json = json.loads(
        gzip.decompress((FOLDER / f"validation-{version}.json.gz").read_bytes())
    )
    return found


def cases() -> list[Any]:
    return [
        pytest.param(version, place, id=f"{version}-{case['note']}")
        for version in VERSIONS
        for place, case in enumerate(recorded(version)["cases"])
        if case["error"] is None or case["error"]["type"] == "prompt_outputs_failed_validation"
        if all(isinstance(node.get("inputs", {}), dict) for node in case["prompt"].values())
    ]  # inputs that are no object are refused before: 0.33.0 answers 500 to them


class NoFiles(PromptRules):
    """A server without any input files."""

    def custom(self, class_type: str, inputs: Json) -> list[Problem]:
        name, kind = FILE_INPUTS.get(class_type, ("", ""))
        if name not in inputs:
            return []
        return [custom_validation_failed(name, f"Invalid {kind} file: {inputs[name]}")]


def judged(prompt: Json, info: Json, targets: Any = None, **options: Any) -> Verdict:
    validator = Validator(prompt, NodeTypes(info), NoFiles(), **options)
    return validator.verdict(validator.outputs(targets))


def without_tracebacks(node_errors: Json) -> Json:
    for node in node_errors.values():
        for error in node["errors"]:
            error["extra_info"].pop("traceback", None)
    return node_errors


@pytest.mark.parametrize(("version", "place"), cases())
def test_an_answer_of_a_real_server(version: str, place: int) -> None:
    found = recorded(version)
    case = found["cases"][place]
    verdict = judged(case["prompt"], found["object_info"], case.get("targets"))
    assert bool(verdict.outputs) == (case["status"] == 200)
    if case["note"] == CYCLE and version == "0.3.64":
        assert case["node_errors"] == {}
        return
    ours, theirs = without_tracebacks(verdict.node_errors), case["node_errors"]
    assert list(map(sorted_faults, ours.items())) == list(map(sorted_faults, theirs.items()))
    if case["error"]:
        assert verdict.details == case["error"]["details"]


def sorted_faults(entry: tuple[str, Json]) -> Json:
    node_id, node = entry
    errors = sorted(node["errors"], key=lambda error: str(error["details"]))
    return {"node": node_id, **node, "errors": errors}  # ComfyUI's order is that of a set


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


def made(**required: Any) -> Json:
    """object_info with an output node `It` that has these inputs, and sources of links."""
    return {
        "It": {"input": {"required": required}, "output": [], "output_node": True},
        "Image": {"input": {}, "output": ["IMAGE", "MASK"]},
        "Any": {"input": {}, "output": ["*"]},
        "Choice": {"input": {}, "output": ["COMBO"]},
        "Match": {"input": {}, "output": ["COMFY_MATCHTYPE_V3"]},
        "Old": {"input": {}, "output": [["a", "b"]]},
        "Pair": {"input": {}, "output": ["INT, FLOAT"]},
    }


DYNAMIC = {
    "mode": [
        "COMFY_DYNAMICCOMBO_V3",
        {
            "options": [
                {"key": "by size", "inputs": {"required": {"w": ["INT", {"min": 1, "max": 64}]}}},
                {"key": "by image", "inputs": {"required": {"like": ["IMAGE", {}]}}},
                {
                    "key": "deeper",
                    "inputs": {
                        "required": {
                            "again": [
                                "COMFY_DYNAMICCOMBO_V3",
                                {"options": [{"key": "x", "inputs": {"required": {"n": ["INT"]}}}]},
                            ]
                        }
                    },
                },
            ]
        },
    ]
}
GROWN = {
    "images": [
        "COMFY_AUTOGROW_V3",
        {
            "template": {
                "input": {"required": {"image": ["IMAGE", {}]}},
                "prefix": "image",
                "min": 2,
                "max": 4,
            }
        },
    ]
}
NAMED = {
    "values": [
        "COMFY_AUTOGROW_V3",
        {"template": {"input": {"optional": {"v": ["FLOAT"]}}, "names": ["a", "b"], "min": 1}},
    ]
}
SEVERAL = {"tags": ["COMBO", {"options": ["a", "b", "c"], "multiselect": True}]}


@pytest.mark.parametrize(
    ("declared", "inputs", "faults"),
    [
        (DYNAMIC, {"mode": "by size", "mode.w": 8}, {}),
        (DYNAMIC, {"mode": "by size", "mode.w": "8"}, {}),
        (DYNAMIC, {"mode": "by size", "mode.w": 65}, {"mode.w": "value_bigger_than_max"}),
        (DYNAMIC, {"mode": "by size"}, {"mode.w": MISSING}),
        (DYNAMIC, {"mode": "by image", "mode.like": ["i", 0]}, {}),
        (
            DYNAMIC,
            {"mode": "by image", "mode.like": ["i", 1]},
            {"mode.like": MISMATCH},
        ),
        (DYNAMIC, {"mode": "by image"}, {"mode.like": MISSING}),
        (
            DYNAMIC,
            {"mode": "deeper", "mode.again": "x"},
            {"mode.again.n": MISSING},
        ),
        (DYNAMIC, {"mode": "deeper", "mode.again": "y"}, {}),
        (DYNAMIC, {}, {}),
        (DYNAMIC, {"mode": "unheard of", "mode.w": 1000}, {}),
        (GROWN, {"images.image0": ["i", 0], "images.image1": ["i", 0]}, {}),
        (GROWN, {"images.image0": ["i", 0]}, {"images.image1": MISSING}),
        (
            GROWN,
            {"images.image0": ["i", 0], "images.image1": ["i", 0], "images.image3": ["i", 1]},
            {"images.image3": MISMATCH},
        ),
        (NAMED, {}, {}),
        (NAMED, {"values.b": "x"}, {"values.b": "invalid_input_type"}),
        (SEVERAL, {"tags": {"__value__": ["a", "c"]}}, {}),
        (SEVERAL, {"tags": "a"}, {}),
        (SEVERAL, {"tags": {"__value__": ["a", "d"]}}, {"tags": "value_not_in_list"}),
        (SEVERAL, {"tags": ["a", "b", "c"]}, {"tags": "bad_linked_input"}),
        ({"c": ["COMBO", {"options": ["a"]}]}, {"c": {"__value__": "a"}}, {}),
        ({"c": ["COMBO", {"options": []}]}, {"c": "a"}, {"c": "value_not_in_list"}),
        ({"c": ["COMBO", {"remote_combo": {"route": "/x"}}]}, {"c": "a"}, {}),
        ({"c": [["a", 1]]}, {"c": 1}, {}),
        ({"c": [["a", "b"]]}, {"c": ["o", 0]}, {}),
        ({"c": [["a", 1]]}, {"c": ["o", 0]}, {"c": MISMATCH}),
        ({"c": ["COMBO", {"options": ["a"]}]}, {"c": ["o", 0]}, {}),
        ({"c": ["COMBO", {"options": ["a"]}]}, {"c": ["c", 0]}, {}),
        ({"c": ["COMBO", {"options": ["a"]}]}, {"c": ["i", 0]}, {"c": MISMATCH}),
        ({"n": ["INT"]}, {"n": ["a", 0]}, {}),
        ({"n": ["INT"]}, {"n": ["m", 0]}, {}),
        ({"n": ["FLOAT,STRING"]}, {"n": ["p", 0]}, {}),
        ({"n": ["INT", {"min": 0}]}, {"n": True}, {}),
        ({"n": ["INT"]}, {"n": "6.5"}, {"n": "invalid_input_type"}),
        ({"n": ["INT"]}, {"n": {}}, {"n": "invalid_input_type"}),
        ({"n": ["FLOAT", {"max": 1}]}, {"n": "0.5"}, {}),
        ({"n": ["STRING"]}, {"n": {"any": "thing"}}, {}),
        ({"n": ["BOOLEAN"]}, {"n": None}, {}),
        ({"n": ["IMAGE"]}, {"n": "text"}, {}),  # it fails when it runs
        ({"n": ["COMFY_DYNAMICGROUP_V3", {"template": {}}]}, {}, {}),  # of a version to come
        ({"odd": "entry", "odder": [], "oddest": [{}, {}]}, {}, {}),
    ],
)
def test_a_rule(declared: Json, inputs: Json, faults: Json) -> None:
    sources = {"i": "Image", "a": "Any", "o": "Old", "c": "Choice", "m": "Match", "p": "Pair"}
    prompt = {"0": node("It", **inputs), **{name: node(kind) for name, kind in sources.items()}}
    before = copy.deepcopy(prompt)
    verdict = judged(prompt, made(**declared))
    errors = verdict.node_errors.get("0", {"errors": []})["errors"]
    assert {error["extra_info"]["input_name"]: error["type"] for error in errors} == faults
    assert bool(verdict.outputs) == (not faults)
    assert prompt == before


def test_the_words_for_a_nested_input_are_comfyuis() -> None:
    verdict = judged({"0": node("It", mode="by size")}, made(**DYNAMIC))
    error = verdict.node_errors["0"]["errors"][0]
    assert (error["details"], error["extra_info"]) == ("w", {"input_name": "mode.w"})
    assert verdict.details == "Required input is missing: w"


def test_values_become_what_comfyui_makes_of_them() -> None:
    info = made(n=["INT"], f=["FLOAT"], s=["STRING"], b=["BOOLEAN"], **SEVERAL)
    wrapped = {"__value__": ["a"]}
    prompt = {"0": node("It", n="8", f=1, s=None, b="", tags=wrapped)}
    assert judged(prompt, info, rewrites=True).outputs
    assert prompt["0"]["inputs"] == {"n": 8, "f": 1.0, "s": "None", "b": False, "tags": ["a"]}


def test_a_class_that_checks_its_values_itself_is_not_held_against_its_choices() -> None:
    info = {"CustomCombo": {**made()["It"], "input": {"required": {"choice": [["a"]]}}}}
    assert judged({"0": node("CustomCombo", choice="of my own")}, info).outputs
    assert not judged({"0": node("CustomCombo")}, info).outputs


def test_a_long_list_of_choices_is_not_repeated() -> None:
    verdict = judged({"0": node("It", c="x")}, made(c=[list(range(21))]))
    error = verdict.node_errors["0"]["errors"][0]
    assert error["details"] == "c: 'x' not in (list of length 21)"
    assert error["extra_info"]["input_config"] is None


def test_a_long_chain_is_a_loop_and_has_its_limit() -> None:
    class Short(PromptRules):
        deepest = 100

    info = {
        **made(n=["IMAGE"]),
        "Step": {"input": {"required": {"i": ["IMAGE"]}}, "output": ["IMAGE"]},
    }
    chain = {str(n): node("Step", i=[str(n + 1), 0]) for n in range(5_000)}
    prompt = {"out": node("It", n=["0", 0]), **chain, "5000": node("Image")}
    assert Validator(prompt, NodeTypes(info)).verdict(["out"]).outputs
    with pytest.raises(TooDeep):
        Validator(prompt, NodeTypes(info), Short()).verdict(["out"])


@pytest.mark.parametrize("most", [1, 2])
def test_only_so_many_faults_are_told(most: int) -> None:
    class Brief(PromptRules):
        pass

    Brief.most = most
    prompt = {str(n): node("It") for n in range(5)}
    validator = Validator(prompt, NodeTypes(made(n=["INT"])), Brief())
    verdict = validator.verdict(validator.outputs())
    assert (len(verdict.node_errors), verdict.untold) == (most, 5 - most)


def test_types_fit() -> None:
    assert fits("A,B", "B , C")
    assert not fits("A", "AB")
    assert fits(["a"], "COMBO")
    assert not fits("COMBO", ["a"])
