"""Subgraphs within subgraphs."""

from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import InvalidWorkflow
from tests.unit.workflows.conversion.graphs import (
    Json,
    border,
    flow,
    inputs_of,
    node,
    run,
    subgraph,
)

INSIDE, OUTSIDE = -10, -20
# model in -> Sample(steps promoted, model) -> latent out
SAMPLER = subgraph(
    "S",
    [
        node(10, "Sample", 7, "fixed", 30, 4.5, "fine")
        | {
            "inputs": [
                {"name": "model", "type": "MODEL", "link": 1},
                {"name": "steps", "type": "INT", "link": 2, "widget": {"name": "steps"}},
            ]
        }
    ],
    [1, INSIDE, 0, 10, 0],
    [2, INSIDE, 1, 10, 1],
    [3, 10, 0, OUTSIDE, 0],
    inputs=[border("model", 1, kind="MODEL"), border("steps", 2, kind="INT")],
    outputs=[border("latent", 3, kind="LATENT")],
)


def host(node_id: int, *values: object, **more: object) -> Json:
    return node(node_id, "S", *values, **more)


def with_definitions(nodes: list[Json], *links: Any, others: Sequence[Json] = ()) -> Json:
    return flow(nodes, *links, definitions={"subgraphs": [SAMPLER, *others]})


def test_nodes_inside_have_the_path_as_their_id() -> None:
    load, end = node(1, "Load", outputs=["MODEL"]), node(3, "Sample", inputs={"latent": 6})
    middle = host(2, inputs={"model": 5, "steps": None}, outputs=["LATENT"])
    workflow = with_definitions([load, middle, end], [5, 1, 0, 2, 0, "M"], [6, 2, 0, 3, 0, "L"])

    prompt = run(workflow).prompt

    assert prompt.keys() == {"1", "3", "2:10"}
    assert prompt["2:10"]["inputs"]["model"] == ["1", 0]
    assert prompt["3"]["inputs"]["latent"] == ["2:10", 0]


def test_nested_subgraphs_hand_values_and_links_through() -> None:
    outer = subgraph(
        "Outer",
        [host(20, inputs={"model": 1, "steps": 2})],
        [1, INSIDE, 0, 20, 0],
        [2, INSIDE, 1, 20, 1],
        inputs=[border("m", 1), border("s", 2)],
    )
    nodes = [node(1, "Load"), node(4, "Outer", 99, inputs={"m": 5, "s": None})]
    workflow = with_definitions(nodes, [5, 1, 0, 4, 0, "M"], others=[outer])
    found = inputs_of(workflow, "4:20:10")
    assert (found["model"], found["steps"]) == (["1", 0], 99)


@pytest.mark.parametrize("mode", [2, 4])
def test_a_subgraph_that_is_off_does_not_run(mode: int) -> None:
    load, end = node(1, "Load", outputs=["MODEL"]), node(3, "Sample", inputs={"latent": 6})
    middle = host(2, inputs={"model": 5}, outputs=["LATENT"], mode=mode)
    workflow = with_definitions([load, middle, end], [5, 1, 0, 2, 0, "M"], [6, 2, 0, 3, 0, "L"])
    prompt = run(workflow).prompt
    assert prompt.keys() == {"1", "3"}
    assert "latent" not in prompt["3"]["inputs"]


def test_a_subgraph_may_lead_an_input_straight_to_an_output() -> None:
    wire = subgraph(
        "Wire",
        [],
        [1, INSIDE, 0, OUTSIDE, 0],
        inputs=[border("in", 1)],
        outputs=[border("out", 1)],
    )
    nodes = [
        node(1, "Load"),
        node(2, "Wire", inputs={"in": 5}),
        node(3, "Sample", inputs={"model": 6}),
    ]
    workflow = with_definitions(nodes, [5, 1, 0, 2, 0, "M"], [6, 2, 0, 3, 0, "M"], others=[wire])
    assert inputs_of(workflow, "3")["model"] == ["1", 0]


def test_a_subgraph_in_itself_is_refused() -> None:
    loop = subgraph("Loop", [node(5, "Loop")])
    workflow = with_definitions([node(1, "Loop")], others=[loop])
    with pytest.raises(
        InvalidWorkflow, match=r"Node 5: The subgraph 'The Loop' contains itself"
    ) as error:
        run(workflow)
    assert error.value.extra["node_errors"]["5"]["class_type"] == "Loop"
