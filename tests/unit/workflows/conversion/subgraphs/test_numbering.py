"""New ids for inner nodes whose ids stand twice."""

from collections.abc import Sequence
from typing import Any

from tests.unit.workflows.conversion.graphs import Json, flow, node, run
from tests.unit.workflows.conversion.subgraphs.test_nesting import SAMPLER


def host(node_id: int, *values: object, **more: object) -> Json:
    return node(node_id, "S", *values, **more)


def with_definitions(nodes: list[Json], *links: Any, others: Sequence[Json] = ()) -> Json:
    return flow(nodes, *links, definitions={"subgraphs": [SAMPLER, *others]})


def test_ids_that_stand_twice_are_renumbered_from_the_last_id_on() -> None:
    workflow = with_definitions([host(2), node(10, "Load")]) | {"last_node_id": 40}
    assert run(workflow).prompt.keys() == {"10", "2:41"}
