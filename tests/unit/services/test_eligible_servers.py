"""Which servers take each prompt of a batch."""

from typing import Any

import pytest

from app.comfyui import inputs
from app.errors import InvalidWorkflow
from app.servers.offer import Offer
from app.services.eligible_servers import check_faults
from app.services.prepare import prepare
from app.workflows.checks.node_inputs import MOST_WALKS, Acceptance
from tests.unit.workflows.checks.test_node_inputs import shown

Json = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


# -- batches ------------------------------------------------------------------------------------
class Server:
    def __init__(self, name: str, node_types: Json) -> None:
        self.id = name
        self.offer = Offer(node_types)

    def can_run(self, _: Any) -> bool:
        return True


def refused(prompt: Json, sets: list[Json], *infos: Json) -> Json | None:
    """The node_errors of the refusal of a batch, if it is refused."""
    prepared = prepare(prompt, sets, {**infos[0], **shown("*")}, shared=len(sets) > 1)
    servers = [Server(str(place), info) for place, info in enumerate(infos)]
    try:
        check_faults(prepared, servers)  # type: ignore[arg-type]
    except InvalidWorkflow as error:
        found: Json = error.extra["node_errors"]
        return found
    return None


def small(most: int) -> Json:
    return shown("INT", max=most)


@pytest.mark.parametrize(
    ("values", "limits", "is_refused"),
    [
        ([1, 2, 3], [9], False),
        ([1, 2, 30], [9], True),
        ([30, 2, 3], [9], True),
        ([1, 30, 3], [9, 99], False),
        ([30, 1, 3], [9, 99], False),
        ([1, 30, 300], [9, 99], True),
    ],
)
def test_each_value_of_a_batch(values: list[int], limits: list[int], is_refused: bool) -> None:
    sets = [{"0.value": value} for value in values]
    found = refused({"0": node("It", value=1)}, sets, *map(small, limits))
    assert (found is not None) == is_refused


def test_a_value_that_one_server_takes_and_another_value_that_the_other_takes() -> None:
    high, low = shown("INT", min=50), small(9)
    sets = [{"0.value": value} for value in (60, 5, 70, 6)]
    assert refused({"0": node("It", value=1)}, sets, high, low) is None
    assert refused({"0": node("It", value=1)}, [*sets, {"0.value": 20}], high, low)


def test_a_batch_with_one_output_that_is_always_good_is_taken_cheaply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = 0
    before = Acceptance.__init__

    def counted(self: Acceptance, *given: Any) -> None:
        nonlocal made
        made += 1
        before(self, *given)

    monkeypatch.setattr(Acceptance, "__init__", counted)
    names = [str(number) for number in range(12)]
    prompt = {"good": node("It", value=1), **{name: node("It", value=1) for name in names}}
    sets = [
        {f"{name}.value": 100 if number >> place & 1 else 1 for place, name in enumerate(names)}
        for number in range(2, 1000)
    ]
    assert refused(prompt, sets, small(9)) is None
    assert made <= 1000 + MOST_WALKS  # those that nothing is said of cost nothing


def test_a_class_is_parsed_once_for_all_prompts(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[Any] = []
    expanded = inputs._expanded

    def counted(declared: Any, values: Any, *more: Any) -> Any:
        parsed.append(declared)
        return expanded(declared, values, *more)

    monkeypatch.setattr(inputs, "_expanded", counted)
    offer = Offer(small(5))
    for _ in range(3):
        assert Acceptance({"0": node("It", value=1)}, offer.inputs).verdict
    assert len(parsed) == 1
