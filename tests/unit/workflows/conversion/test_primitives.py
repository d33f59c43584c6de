"""Primitives write their value into the widgets that they are connected to."""

import pytest

from tests.unit.workflows.conversion.graphs import Json, flow, inputs_of, node, run


def primitive(*values: object, kind: str = "INT") -> Json:
    return node(1, "PrimitiveNode", *values, outputs=[kind])


def sample(name: str, kind: str = "INT") -> Json:
    socket = {"name": name, "type": kind, "link": 1, "widget": {"name": name}}
    return node(3, "Sample", 7, "fixed", 30, 4.5, "fine") | {"inputs": [socket]}


TO_SAMPLE = [1, 1, 0, 3, 0, "INT"]


def test_a_primitive_writes_its_value_into_its_target() -> None:
    conversion = run(flow([primitive(12, "fixed"), sample("steps")], TO_SAMPLE))
    assert conversion.prompt.keys() == {"3"}
    assert conversion.prompt["3"]["inputs"]["steps"] == 12


@pytest.mark.parametrize(
    ("name", "kind", "value", "expected"),
    [
        ("cfg", "FLOAT", 3.14159, 3.1),  # in steps of 0.1
        ("cfg", "FLOAT", 900, 100.0),
        ("steps", "INT", 0, 1),
        ("steps", "INT", "12", 12),
        ("steps", "INT", " 7.6 ", 8),
        ("seed", "INT", "9007199254740993", 9007199254740993),
        ("cfg", "FLOAT", "3.14159", 3.1),
        ("cfg", "FLOAT", "9e2", 100.0),
        ("steps", "INT", "twelve", "twelve"),
        ("mode", "COMBO", "fast", "fast"),
    ],
)
def test_the_value_is_fitted_to_the_target(
    name: str, kind: str, value: object, expected: object
) -> None:
    workflow = flow([primitive(value, "fixed", kind=kind), sample(name, kind)], TO_SAMPLE)
    assert inputs_of(workflow, "3")[name] == expected


def test_a_text_stays_one_where_it_goes_to_a_text() -> None:
    slot = {"name": "text", "type": "STRING", "link": 1, "widget": {"name": "text"}}
    encode = node(3, "Encode", "a cat") | {"inputs": [slot]}
    workflow = flow([primitive("123", kind="STRING"), encode], [1, 1, 0, 3, 0, "STRING"])
    assert inputs_of(workflow, "3")["text"] == "123"


def test_a_primitive_saved_for_another_type_takes_the_targets_value() -> None:
    workflow = flow([primitive("text", kind="STRING"), sample("steps")], TO_SAMPLE)
    assert inputs_of(workflow, "3")["steps"] == 30


def test_a_primitive_behind_a_reroute_is_not_heard() -> None:
    reroute = node(2, "Reroute", inputs={"": 1})
    end = sample("steps")
    end["inputs"][0]["link"] = 2
    links = [1, 1, 0, 2, 0, "INT"], [2, 2, 0, 3, 0, "INT"]
    assert inputs_of(flow([primitive(12), reroute, end], *links), "3")["steps"] == 30
