"""Every choice that ComfyUI takes can be set, and numbers come as texts, too."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.services.prepare import prepare
from app.workflows.conversion import convert
from app.workflows.openapi import schema_of
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.model import choices_of, list_parameters
from app.workflows.saved.write_back import set_params
from tests.unit.workflows.conversion.graphs import flow, node
from tests.unit.workflows.conversion.official import OBJECT_INFO

Json = dict[str, Any]
CUSTOM = {"choice": "b", "option1": "a", "option2": "b", "option3": ""}
INFO: Json = {
    "Tags": {
        "input": {
            "required": {
                "old": [["a", "b", "c"], {"multiselect": True}],
                "new": ["COMBO", {"options": ["a", "b", "c"], "multiselect": True}],
                "seconds": ["COMBO", {"options": [5, 10, 2.5]}],
                "exact": [[True, False]],
                "file": [[], {}],
            }
        },
        "output_node": True,
    },
    "CustomCombo": {"input": {"required": {"choice": ["COMBO", {"options": []}]}}},
    "KlingCameraControls": {
        "input": {
            "required": {
                "camera_control_type": ["COMBO", {"options": ["simple"]}],
                "pan": ["FLOAT", {"min": -10, "max": 10}],
            }
        }
    },
}


def tags(**inputs: Any) -> Json:
    return {"1": {"class_type": "Tags", "inputs": {"old": {"__value__": ["a"]}, **inputs}}}


def used(prompt: Json, name: str, value: Any, info: Json = INFO) -> Any:
    changed, _ = apply_params(prompt, {f"1.{name}": value}, info)
    return changed["1"]["inputs"][name]


@pytest.mark.parametrize("name", ["old", "new"])
@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (["a", "b"], ["a", "b"]),
        ({"__value__": ["c", "a"]}, ["c", "a"]),
        ("b", ["b"]),
        ({"__value__": "b"}, ["b"]),
        ([], []),
    ],
)
def test_several_choices(name: str, value: Any, chosen: list[str]) -> None:
    assert used(tags(), name, value) == {"__value__": chosen}


@pytest.mark.parametrize("value", [["a", "d"], "d", {"__value__": ["d"]}, [["a"]], None, {"a": 1}])
def test_each_of_several_is_checked(value: Any) -> None:
    with pytest.raises(InvalidParameter, match="not among its 3 choices"):
        used(tags(), "new", value)


def test_while_no_server_tells_a_list_stays_one() -> None:
    assert used(tags(), "old", ["x", 0], {}) == {"__value__": ["x", 0]}


def test_the_value_told_can_be_sent_again() -> None:
    changed, told = apply_params(tags(), {"1.old": "b"}, INFO)
    assert told == {"1.old": ["b"]}
    assert apply_params(tags(), told, INFO) == (changed, told)


def test_a_batch_of_several_choices() -> None:
    sets = [{"1.old": ["a"]}, {"1.old": ["a", "b"]}, {"1.old": "c"}]
    made = [one.prompt["1"]["inputs"]["old"] for one in prepare(tags(), sets, INFO)]
    assert made == [{"__value__": ["a"]}, {"__value__": ["a", "b"]}, {"__value__": ["c"]}]


def test_what_is_listed_can_be_sent_back() -> None:
    found = {p.input: p for p in list_parameters(tags(new=["b"]), INFO)}
    assert (found["old"].value, found["old"].multiselect) == (["a"], True)
    prompt = tags(old={"__value__": ["b", "c"]})
    listed = {p.key: p.value for p in list_parameters(prompt, INFO)}
    assert apply_params(prompt, listed, INFO)[0] == prompt


def test_the_schema_of_several_choices() -> None:
    (found,) = list_parameters(tags(), INFO)
    assert schema_of(found) == {
        "title": "Tags: old",
        "type": "array",
        "items": {"enum": ["a", "b", "c"]},
        "default": ["a"],
    }


def test_several_choices_in_a_file_of_the_page() -> None:
    info = {"Tags": {"input": {"required": {"new": INFO["Tags"]["input"]["required"]["new"]}}}}
    workflow = flow([node(1, "Tags", ["a"])])
    changed = set_params(workflow, {"1.new": ["b", "c"]}, info)
    assert changed["nodes"][0]["widgets_values"] == [["b", "c"]]
    assert convert(changed, info).prompt["1"]["inputs"]["new"] == {"__value__": ["b", "c"]}


def test_choices_beside_the_combo() -> None:
    prompt = {"1": {"class_type": "CustomCombo", "inputs": dict(CUSTOM)}}
    (found,) = [p for p in list_parameters(prompt, INFO) if p.input == "choice"]
    assert found.choices == ["a", "b"]
    assert used(prompt, "choice", "a") == "a"
    with pytest.raises(InvalidParameter, match="not among its 2 choices"):
        used(prompt, "choice", "c")
    both = {"1.choice": "c", "1.option1": "c"}
    assert apply_params(prompt, both, INFO)[0]["1"]["inputs"]["choice"] == "c"
    prompt["1"]["inputs"]["option1"] = ["2", 0]
    assert used(prompt, "choice", "anything") == "anything"


def test_no_choices_at_all_take_anything() -> None:
    assert used(tags(), "file", "new.safetensors") == "new.safetensors"


def test_what_a_class_judges_itself_is_left_to_it() -> None:
    prompt = {"1": {"class_type": "KlingCameraControls", "inputs": {}}}
    assert used(prompt, "camera_control_type", "other") == "other"
    assert used(prompt, "pan", "99") == 99


@pytest.mark.parametrize(
    ("name", "value", "meant"),
    [
        ("seconds", "10", 10),
        ("seconds", "2.5", 2.5),
        ("seconds", " 5 ", 5),
        ("exact", "true", True),
        ("exact", "False", False),
    ],
)
def test_choices_that_are_no_texts(name: str, value: str, meant: Any) -> None:
    found = used(tags(), name, value)
    assert (found, type(found)) == (meant, type(meant))


def test_a_seed_as_text_is_drawn() -> None:
    info = {"S": {"input": {"required": {"seed": ["INT", {"min": 0, "max": 9}]}}}}
    prompt = {"1": {"class_type": "S", "inputs": {"seed": 4}}}
    assert apply_params(prompt, {"1.seed": "-1"}, info, new_seed=lambda *_: 8)[1] == {"1.seed": 8}


# -- all of ComfyUI's own node types --------------------------------------------------------------
def inputs_of(declared: Any, prefix: str = "", chosen: Json | None = None) -> Iterator[Any]:
    """(input, its definition, values that make it one) of a class, those of choices included."""
    for section in ("required", "optional"):
        for name, definition in ((declared or {}).get(section) or {}).items():
            yield prefix + name, definition, chosen or {}
            if definition[0] == "COMFY_DYNAMICCOMBO_V3":
                for option in definition[1]["options"]:
                    values = {**(chosen or {}), prefix + name: option["key"]}
                    yield from inputs_of(option["inputs"], f"{prefix}{name}.", values)


ALL = [
    (class_type, *found)
    for class_type, definition in OBJECT_INFO.items()
    for found in inputs_of(definition["input"])
]


def test_all_choices_can_be_set_and_sent_as_text() -> None:
    combos, choices = 0, 0
    for class_type, name, definition, values in ALL:
        offered = choices_of(definition)
        combos += offered is not None
        for choice in offered or ():
            prompt = {"1": {"class_type": class_type, "inputs": values}}
            assert used(prompt, name, choice, OBJECT_INFO) == choice
            as_text = choice if isinstance(choice, str) else json.dumps(choice)
            assert used(prompt, name, as_text, OBJECT_INFO) == choice
            choices += 1
    assert combos > 900
    assert choices > 1200


def test_all_defaults_of_numbers_can_be_sent_as_text() -> None:
    numbers = 0
    for class_type, name, definition, values in ALL:
        options = definition[1] if len(definition) > 1 else {}
        if definition[0] not in ("INT", "FLOAT", "BOOLEAN") or options.get("default") is None:
            continue
        prompt = {"1": {"class_type": class_type, "inputs": values}}
        assert used(prompt, name, json.dumps(options["default"]), OBJECT_INFO) == options["default"]
        numbers += definition[0] != "BOOLEAN"
    assert numbers > 2300
