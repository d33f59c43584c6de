"""Nodes that exist on the page only."""

import pytest

from tests.unit.workflows.conversion.graphs import flow, inputs_of, node, run, subgraph


def test_notes_and_switches_of_the_page_are_dropped() -> None:
    kinds = ["Note", "MarkdownNote", "Fast Groups Muter (rgthree)"]
    workflow = flow([node(n, kind, "text") for n, kind in enumerate(kinds)])
    assert run(workflow).prompt == {}


@pytest.mark.parametrize("kinds", [("SetNode", "GetNode"), ("easy setNode", "easy getNode")])
def test_a_get_node_is_wired_to_the_set_node_of_its_name(kinds: tuple[str, str]) -> None:
    nodes = [
        node(1, "Load", outputs=["MODEL"]),
        node(2, kinds[0], "the model", inputs={"MODEL": 1}),
        node(4, kinds[0], "another", inputs={"MODEL": None}),
        node(5, kinds[1], "the model", outputs=["MODEL"]),
        node(3, "Sample", inputs={"model": 2}),
    ]
    conversion = run(flow(nodes, [1, 1, 0, 2, 0, "MODEL"], [2, 5, 0, 3, 0, "MODEL"]))
    assert conversion.prompt["3"]["inputs"]["model"] == ["1", 0]
    assert conversion.prompt.keys() == {"1", "3"}


def test_a_get_node_in_a_subgraph_finds_the_set_node_outside() -> None:
    inner = subgraph(
        "S",
        [node(10, "GetNode", "wire"), node(11, "Sample", inputs={"model": 1})],
        [1, 10, 0, 11, 0],
    )
    nodes = [node(1, "Load"), node(2, "SetNode", "wire", inputs={"MODEL": 1}), node(3, "S")]
    workflow = flow(nodes, [1, 1, 0, 2, 0, "MODEL"], definitions={"subgraphs": [inner]})
    assert inputs_of(workflow, "3:11")["model"] == ["1", 0]


def test_a_get_node_without_a_set_node_warns() -> None:
    nodes = [node(5, "GetNode", "lost"), node(3, "Sample", inputs={"model": 2})]
    conversion = run(flow(nodes, [2, 5, 0, 3, 0, "MODEL"]))
    assert "model" not in conversion.prompt["3"]["inputs"]
    assert conversion.warnings == ["Node 5: nothing sets 'lost'."]
