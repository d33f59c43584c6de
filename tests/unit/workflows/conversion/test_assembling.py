"""The order of the nodes in the prompt."""

from tests.unit.workflows.conversion.graphs import flow, node, run


def test_numbers_come_first_then_ids_as_they_run() -> None:
    workflow = flow([node("b", "Load"), node(10, "Load"), node("a", "Load"), node(9, "Load")])
    assert list(run(workflow).prompt) == ["9", "10", "b", "a"]
