"""Inner widgets that a subgraph's node lists."""

from collections.abc import Sequence
from typing import Any

from tests.unit.workflows.conversion.graphs import Json, flow, inputs_of, node, subgraph
from tests.unit.workflows.conversion.subgraphs.test_nesting import SAMPLER


def host(node_id: int, *values: object, **more: object) -> Json:
    return node(node_id, "S", *values, **more)


def with_definitions(nodes: list[Json], *links: Any, others: Sequence[Json] = ()) -> Json:
    return flow(nodes, *links, definitions={"subgraphs": [SAMPLER, *others]})


# The older list of promoted widgets, `properties.proxyWidgets`.
def plain(*inputs: Json) -> Json:
    """A subgraph without borders that holds a Sample, and other nodes."""
    return subgraph("P", [node(10, "Sample", 7, "fixed", 30, 4.5, "fine"), *inputs])


def proxied(proxies: list[list[str]], *values: object, definition: Json | None = None) -> Json:
    found = node(2, "P", *values, properties={"proxyWidgets": proxies})
    return flow([found], definitions={"subgraphs": [definition or plain()]})


def test_listed_widgets_take_the_values_in_the_order_of_the_list() -> None:
    workflow = proxied([["10", "mode"], ["10", "steps"]], "fast", 9)
    assert inputs_of(workflow, "2:10") == {"seed": 7, "steps": 9, "cfg": 4.5, "mode": "fast"}


def test_listed_widgets_without_values_keep_those_inside() -> None:
    assert inputs_of(proxied([["10", "steps"]]), "2:10")["steps"] == 30


def test_a_listed_input_of_the_subgraph_itself() -> None:
    middle = host(2, "wrong", 9, properties={"proxyWidgets": [["10", "mode"], ["-1", "steps"]]})
    assert inputs_of(with_definitions([middle]), "2:10")["steps"] == 9


def test_a_listed_widget_named_with_its_path() -> None:
    assert inputs_of(proxied([["10", "10: steps"]], 9), "2:10")["steps"] == 9


def test_of_two_entries_for_one_widget_the_second_counts() -> None:
    assert inputs_of(proxied([["10", "steps"], ["10", "steps"]], 8, 9), "2:10")["steps"] == 9


def test_a_listed_primitive_gives_way() -> None:
    steps = {"name": "steps", "type": "INT", "link": 1, "widget": {"name": "steps"}}
    definition = subgraph(
        "P",
        [
            node(10, "Sample", 7, "fixed", 30, 4.5, "fine") | {"inputs": [steps]},
            node(11, "PrimitiveNode", 5, "fixed", outputs=["INT"]),
        ],
        [1, 11, 0, 10, 0],
    )
    workflow = proxied([["11", "value"]], 9, definition=definition)
    assert inputs_of(workflow, "2:10")["steps"] == 9


def test_previews_and_lost_widgets_in_the_list_change_nothing() -> None:
    workflow = proxied([["10", "$$canvas-image-preview"], ["77", "x"], ["10", "gone"]], 1, 2, 3)
    assert inputs_of(workflow, "2:10")["steps"] == 30
