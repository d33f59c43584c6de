"""Group nodes: what came before subgraphs."""

from typing import Any

import pytest

from tests.unit.workflows.conversion.graphs import Json, flow, inputs_of, node, run

LOAD = node(-1, "Load", "b.ckpt", outputs=["MODEL", "CLIP"])
TEXT = node(-1, "Encode", "inside", inputs={"clip": (None, "CLIP")}, outputs=["COND"])
SAMPLE = node(
    -1, "Sample", 7, "fixed", 30, 4.5, "fine",
    inputs={"model": (None, "MODEL"), "positive": (None, "COND"), "latent": (None, "LATENT")},
    outputs=["LATENT"],
)  # fmt: skip


def grouped(group: Json, *nodes: Json, links: tuple[Any, ...] = ()) -> Json:
    return flow([*nodes], *links, last_node_id=20, extra={"groupNodes": {"G": group}})


def pair(**more: Any) -> Json:
    """Encode -> Sample."""
    return {"nodes": [TEXT, SAMPLE], "links": [[0, 0, 1, 1, 5, "COND"]], "external": [], **more}


@pytest.mark.parametrize("kind", ["workflow>G", "workflow/G"])
def test_a_group_node_becomes_a_subgraph_with_new_ids(kind: str) -> None:
    prompt = run(grouped(pair(), node(20, kind))).prompt
    assert prompt.keys() == {"23:21", "23:22"}
    assert prompt["23:22"]["inputs"]["positive"] == ["23:21", 0]


def test_its_values_go_to_the_nodes_inside() -> None:
    values = ["outside", 8, "fixed", 31, 5.5, "fast"]
    workflow = grouped(pair(), node(20, "workflow>G", *values))
    assert inputs_of(workflow, "23:21") == {"text": "outside"}
    assert inputs_of(workflow, "23:22") == {
        "seed": 8, "steps": 31, "cfg": 5.5, "mode": "fast", "positive": ["23:21", 0],
    }  # fmt: skip


def test_widgets_of_the_same_name_keep_apart() -> None:
    twice = {"nodes": [TEXT, TEXT], "links": []}
    workflow = grouped(twice, node(20, "workflow>G", "one", "two"))
    assert inputs_of(workflow, "23:21") == {"text": "one"}
    assert inputs_of(workflow, "23:22") == {"text": "two"}


def test_links_from_and_to_the_outside() -> None:
    load = node(1, "Load", outputs=["MODEL", "CLIP"])
    shown = {"clip": (5, "CLIP"), "model": (6, "MODEL"), "latent": (None, "LATENT")}
    group = node(20, "workflow>G", inputs=shown, outputs=["LATENT"])
    end = node(3, "Sample", inputs={"latent": (7, "LATENT")})
    links = [5, 1, 1, 20, 0, "CLIP"], [6, 1, 0, 20, 1, "MODEL"], [7, 20, 0, 3, 0, "LATENT"]

    prompt = run(grouped(pair(), load, group, end, links=links)).prompt

    assert prompt["23:21"]["inputs"]["clip"] == ["1", 1]
    assert prompt["23:22"]["inputs"]["model"] == ["1", 0]
    assert prompt["3"]["inputs"]["latent"] == ["23:22", 0]


def test_hidden_inputs_and_outputs_do_not_count() -> None:
    config = {"0": {"input": {"clip": {"visible": False}}, "output": {"0": {"visible": True}}}}
    group = node(20, "workflow>G", inputs={"model": (6, "MODEL")}, outputs=["COND", "LATENT"])
    load, end = node(1, "Load"), node(3, "Sample", inputs={"latent": (7, "LATENT")})
    links = [6, 1, 0, 20, 0, "MODEL"], [7, 20, 1, 3, 0, "LATENT"]

    prompt = run(grouped(pair(config=config), load, group, end, links=links)).prompt

    assert prompt["23:22"]["inputs"]["model"] == ["1", 0]
    assert prompt["3"]["inputs"]["latent"] == ["23:22", 0]


def test_links_that_do_not_fit_are_not_made() -> None:
    group = node(20, "workflow>G", outputs=["LATENT"])
    end = node(3, "Sample", inputs={"model": (7, "MODEL")})
    prompt = run(grouped(pair(), group, end, links=([7, 20, 0, 3, 0, "*"],))).prompt
    assert "model" not in prompt["3"]["inputs"]


def test_a_primitive_inside_takes_the_value_of_its_target() -> None:
    value = {"name": "value", "type": "INT", "link": None, "widget": {"name": "value"}}
    nodes = [
        node(-1, "PrimitiveNode", 12, "fixed", outputs=["INT"]),
        node(-1, "Tune", 2.0),
        node(-1, "Number", 3) | {"inputs": [value]},
    ]
    group = {"nodes": nodes, "links": [[0, 0, 2, 0, 4, "INT"]]}
    workflow = grouped(group, node(20, "workflow>G", 15, "fixed", 1.5))
    assert inputs_of(workflow, "24:23") == {"value": 3}
    assert inputs_of(workflow, "24:22") == {"strength": 1.5}


def test_two_instances_follow_each_other() -> None:
    workflow = grouped(pair(), node(19, "workflow>G"), node(20, "workflow>G"))
    assert run(workflow).prompt.keys() == {"23:21", "23:22", "26:24", "26:25"}


def test_a_group_with_an_unknown_type_stays_unknown() -> None:
    conversion = run(grouped({"nodes": [node(-1, "Gone")], "links": []}, node(20, "workflow>G")))
    assert conversion.prompt["20"]["class_type"] == "workflow>G"
    assert conversion.warnings == ["Node 20: the server has no node type 'workflow>G'."]
