"""Which values a file marks to be drawn anew for each run (control_after_generate), and where in
the prompt they stand."""

from typing import Any

import pytest

from tests.unit.workflows.conversion.graphs import (
    SEED,
    STEPS,
    Json,
    border,
    flow,
    inputs_of,
    node,
    run,
    subgraph,
)

TWO = {"input": {"required": {"seed": SEED, "second_seed": SEED, "steps": STEPS}}, "output": ["X"]}
FIRST = {**SEED[1], "control_after_generate": "fixed"}  # newer nodes say how it begins
INFO = {
    "Two": TWO,
    "Begins fixed": {"input": {"required": {"value": ["INT", FIRST]}}, "output": ["INT"]},
    "Choose": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {"options": [{"key": "on", "inputs": {"required": {"seed": SEED}}}]},
                ]
            }
        },
        "output": ["X"],
    },
}


def drawn(workflow: Json) -> list[set[str]]:
    found = run(workflow, INFO).drawn
    return [{".".join(key) for key in keys} for keys in found]


def sample(mark: Any, *, node_id: int = 3, seed_from: int | None = None) -> Json:
    """A sampler whose seed is a widget with a mark; and an input with a link, if there is one."""
    socket = {"name": "seed", "type": "INT", "link": seed_from, "widget": {"name": "seed"}}
    return node(node_id, "Sample", 7, mark, 30, 4.5, "fine") | {"inputs": [socket]}


def primitive(mark: str, node_id: int = 1) -> Json:
    return node(node_id, "PrimitiveNode", 5, mark, outputs=["INT"])


@pytest.mark.parametrize(
    ("mark", "keys"),
    [
        ("randomize", [{"3.seed"}]),
        *((mark, []) for mark in ("fixed", "increment", "decrement", True, None, 1, [], {})),
    ],
)
def test_only_randomize_is_a_mark(mark: Any, keys: list[set[str]]) -> None:
    assert drawn(flow([sample(mark)])) == keys


def test_values_by_name() -> None:
    values = {"seed": 7, "control_after_generate": "randomize", "steps": 3}
    assert drawn(flow([node(3, "Sample") | {"widgets_values": values}])) == [{"3.seed"}]


def test_each_seed_of_a_node_has_its_own_mark() -> None:
    marks = {("fixed", "fixed"): [], ("randomize", "fixed"): [{"1.seed"}]} | {
        ("fixed", "randomize"): [{"1.second_seed"}],
        ("randomize", "randomize"): [{"1.seed"}, {"1.second_seed"}],
    }
    for (one, other), keys in marks.items():
        assert drawn(flow([node(1, "Two", 1, one, 2, other, 20)])) == keys


def test_in_a_dynamic_combo() -> None:
    assert drawn(flow([node(1, "Choose", "on", 4, "randomize")])) == [{"1.mode.seed"}]
    assert drawn(flow([node(1, "Choose", "on", 4, "fixed")])) == []


def test_a_widget_that_the_file_has_no_mark_for_begins_as_its_node_says() -> None:
    assert drawn(flow([node(1, "Begins fixed", 4)])) == []
    assert drawn(flow([node(1, "Begins fixed", 4, "randomize")])) == [{"1.value"}]
    assert drawn(flow([node(3, "Sample", 7)])) == [{"3.seed"}]


@pytest.mark.parametrize("own", ["fixed", "randomize"])
def test_the_mark_of_a_primitive_counts_for_all_that_it_feeds_as_one(own: str) -> None:
    samplers = [sample(own, seed_from=1), sample(own, node_id=4, seed_from=2)]
    links = [1, 1, 0, 3, 0, "INT"], [2, 1, 0, 4, 0, "INT"]
    assert drawn(flow([primitive("randomize"), *samplers], *links)) == [{"3.seed", "4.seed"}]
    assert drawn(flow([primitive("fixed"), *samplers], *links)) == []


def test_a_primitive_behind_reroutes_marks_what_it_was_meant_for() -> None:
    nodes = [
        primitive("randomize"),
        node(5, "Reroute", inputs={"": 1}, outputs=["*"]),
        node(6, "Reroute", inputs={"": 2}, outputs=["*"]),
        sample("fixed", seed_from=3),
    ]
    links = [1, 1, 0, 5, 0, "INT"], [2, 5, 0, 6, 0, "INT"], [3, 6, 0, 3, 0, "INT"]
    assert drawn(flow(nodes, *links)) == [{"3.seed"}]


def test_a_seed_that_a_node_makes_is_not_marked() -> None:
    nodes = [node(1, "Number", 4, outputs=["INT"]), sample("randomize", seed_from=1)]
    assert drawn(flow(nodes, [1, 1, 0, 3, 0, "INT"])) == []


def instance(node_id: int, *values: Any, link: int | None = None) -> Json:
    return node(node_id, "S", *values, inputs={"seed": (link, "INT")}, outputs=["LATENT"])


def with_subgraph(*nodes: Json, mark: str = "randomize", links: tuple[Any, ...] = ()) -> Json:
    inner = subgraph(
        "S",
        [sample(mark, node_id=10, seed_from=1)],
        [1, -10, 0, 10, 0],
        inputs=[border("seed", 1, kind="INT")],
    )
    return flow(list(nodes), *links, definitions={"subgraphs": [inner]})


def test_a_promoted_seed_is_each_instances_own() -> None:
    workflow = with_subgraph(instance(1, 41), instance(2, 42))
    assert drawn(workflow) == [{"1:10.seed"}, {"2:10.seed"}]
    assert inputs_of(workflow, "2:10")["seed"] == 42
    assert drawn(with_subgraph(instance(1, 41), mark="fixed")) == []


def test_a_seed_within_a_subgraph_is_the_same_in_all_instances() -> None:
    inner = subgraph("S", [sample("randomize", node_id=10)])
    workflow = flow([node(1, "S"), node(2, "S")], definitions={"subgraphs": [inner]})
    assert drawn(workflow) == [{"1:10.seed", "2:10.seed"}]


def test_a_primitive_before_a_subgraph() -> None:
    links = ([1, 1, 0, 2, 0, "INT"],)
    workflow = with_subgraph(primitive("randomize"), instance(2, link=1), mark="fixed", links=links)
    assert drawn(workflow) == [{"2:10.seed"}]


def test_a_primitive_within_a_subgraph() -> None:
    inner = subgraph(
        "S",
        [primitive("randomize", 9), sample("fixed", node_id=10, seed_from=1)],
        [1, 9, 0, 10, 0],
    )
    assert drawn(flow([node(1, "S")], definitions={"subgraphs": [inner]})) == [{"1:10.seed"}]


def test_a_promoted_primitive_keeps_its_mark() -> None:
    inner = subgraph(
        "S",
        [primitive("randomize", 9), sample("fixed", node_id=10, seed_from=1)],
        [1, 9, 0, 10, 0],
    )
    host = node(1, "S", 77) | {"properties": {"proxyWidgets": [["9", "value"]]}}
    workflow = flow([host], definitions={"subgraphs": [inner]})
    assert inputs_of(workflow, "1:10")["seed"] == 77
    assert drawn(workflow) == [{"1:10.seed"}]
