"""Widgets of inner nodes that a subgraph shows as its own inputs."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.unit.workflows.conversion.graphs import Json, flow, inputs_of, node
from tests.unit.workflows.conversion.subgraphs.test_nesting import SAMPLER


def host(node_id: int, *values: object, **more: object) -> Json:
    return node(node_id, "S", *values, **more)


def with_definitions(nodes: list[Json], *links: Any, others: Sequence[Json] = ()) -> Json:
    return flow(nodes, *links, definitions={"subgraphs": [SAMPLER, *others]})


def test_a_promoted_widget_has_the_value_inside_until_it_is_set() -> None:
    assert inputs_of(with_definitions([host(2)]), "2:10")["steps"] == 30


def test_each_instance_has_its_own_value() -> None:
    workflow = with_definitions([host(2, 11), host(3, 12)])
    assert inputs_of(workflow, "2:10")["steps"] == 11
    assert inputs_of(workflow, "3:10")["steps"] == 12


def test_a_connected_promoted_widget_takes_the_link() -> None:
    middle = host(2, 11, inputs={"steps": 5})
    workflow = with_definitions([node(1, "Number", 3), middle], [5, 1, 0, 2, 1, "INT"])
    assert inputs_of(workflow, "2:10")["steps"] == ["1", 0]


def test_values_that_a_page_could_not_place_are_placed() -> None:
    kept = [{"originalEntry": ["-1", "steps"], "reason": "x", "hostValue": 44}]
    middle = host(2, 11, properties={"proxyWidgetErrorQuarantine": kept})
    assert inputs_of(with_definitions([middle]), "2:10")["steps"] == 44


@pytest.mark.parametrize("entry", [["-1"], [], None, "-1", {"0": "-1"}], ids=str)
def test_what_a_page_could_not_place_is_passed_over_if_it_is_not_sound(entry: object) -> None:
    kept = [{"originalEntry": entry, "hostValue": 44}, 7]
    middle = host(2, 11, inputs={"steps": 5}, properties={"proxyWidgetErrorQuarantine": kept})
    workflow = with_definitions([node(1, "Number", 3), middle], [5, 1, 0, 2, 1, "INT"])
    assert inputs_of(workflow, "2:10")["steps"] == ["1", 0]
