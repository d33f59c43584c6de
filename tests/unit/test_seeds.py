"""A seed of -1 is drawn wherever the seed stands, within the limits of what takes it."""

from typing import Any

import pytest

from app.workflows.applying import apply_params
from app.workflows.roles import roles_of

Json = dict[str, Any]


def number(low: int, high: int) -> list[Any]:
    return ["INT", {"min": low, "max": high}]


SAMPLING = {"key": "on", "inputs": {"required": {"seed": number(0, 2**63 - 1)}}}
INFO: Json = {
    "Wide": {"input": {"required": {"seed": number(0, 2**64 - 1)}}},
    "Narrow": {"input": {"required": {"seed": number(1, 3)}}},
    "Noise16": {"input": {"optional": {"noise_seed": number(0, 2**16 - 1)}}},
    "Free": {"input": {"required": {"seed": number(-5, 5)}}},
    "Int": {"input": {"required": {"value": number(-(2**63), 2**63 - 1)}}},
    "Counter": {"input": {"required": {"value": number(0, 9)}}},
    "Pack": {"input": {"required": {"seed": number(-(2**50), 2**50)}}},
    "Pass": {"input": {"required": {"any": ["*", {}]}}},
    "Text": {"input": {"required": {"mode": ["COMFY_DYNAMICCOMBO_V3", {"options": [SAMPLING]}]}}},
}


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


def behind(source: Json, *consumers: Json) -> Json:
    """`source` feeds the consumers over a node that passes it on."""
    graph = {"30": source, "31": node("Pass", any=["30", 0])}
    return graph | {str(place): each for place, each in enumerate(consumers)}


WIDE, NARROW = node("Wide", seed=["31", 0]), node("Narrow", seed=["31", 0])
CASES = {
    "wide": ({"1": node("Wide", seed=-1)}, "1.seed", 0, 2**53 - 1),
    "narrow": ({"1": node("Narrow", seed=-1)}, "1.seed", 1, 3),
    "16 bits": ({"1": node("Noise16", noise_seed=-1)}, "1.noise_seed", 0, 2**16 - 1),
    "a dynamic combo": (
        {"1": node("Text", mode="on") | {"inputs": {"mode": "on", "mode.seed": -1}}},
        *("1.mode.seed", 0, 2**53 - 1),
    ),
    "behind a primitive": (behind(node("Int", value=-1), WIDE), "30.value", 0, 2**53 - 1),
    "of several, the narrowest": (behind(node("Int", value=-1), WIDE, NARROW), "30.value", 1, 3),
    "the primitive's own": (behind(node("Counter", value=-1), WIDE), "30.value", 0, 9),
    "a pack's seed node": (behind(node("Pack", seed=-1), NARROW), "30.seed", 1, 3),
    "not known": ({"1": node("Other", seed=-1)}, "1.seed", 0, 2**53 - 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("place", ["file", "param"])
def test_minus_one_is_drawn_within_the_limits(name: str, place: str) -> None:
    graph, key, low, high = CASES[name]
    node_id, _, input_name = key.partition(".")
    params = {key: -1} if place == "param" else {}
    asked = []

    def largest(*limits: int) -> int:
        asked.append(limits)
        return limits[1]

    changed, used = apply_params(graph, params, INFO, new_seed=largest)
    assert asked == [(low, high)]
    assert used == {key: high}
    assert changed[node_id]["inputs"][input_name] == high


def test_by_the_name_seed_too() -> None:
    for graph, key in (case[:2] for case in CASES.values()):
        node_id, _, input_name = key.partition(".")
        assert roles_of(graph)[node_id, input_name] == "seed"
        assert apply_params(graph, {"seed": -1}, INFO, new_seed=lambda low, _: low)[1]["seed"] >= 0


@pytest.mark.parametrize(
    "graph",
    [
        {"1": node("Free", seed=-1)},
        behind(node("Int", value=-1), node("Free", seed=["31", 0])),
        behind(node("Int", value=-1), node("Crop", width=["31", 0])),
    ],
)
def test_where_minus_one_has_a_meaning_it_stays(graph: Json) -> None:
    assert apply_params(graph, {}, INFO) == (graph, {})
