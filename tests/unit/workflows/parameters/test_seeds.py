"""Where seeds stand, within which limits a -1 is drawn, and what is said of those that stay."""

from typing import Any

import pytest

from app.servers.inventory import merged
from app.services.prepare import prepare
from app.workflows.parameters import seeds
from app.workflows.parameters.apply import Setter, apply_params
from app.workflows.parameters.model import list_parameters
from app.workflows.parameters.roles import roles_of
from app.workflows.parameters.seeds import is_random, names_seed

Json = dict[str, Any]


def number(low: Any = None, high: Any = None) -> list[Any]:
    return ["INT", {k: v for k, v in (("min", low), ("max", high)) if v is not None}]


def kind(output: str = "LATENT", **inputs: Any) -> Json:
    return {"input": {"required": inputs}, "output": [output], "output_node": output == "LATENT"}


COMBO = [
    "COMFY_DYNAMICCOMBO_V3",
    {
        "options": [
            {"key": "on", "inputs": {"required": {"seed": number(5, 9)}}},
            {"key": "wide", "inputs": {"required": {"seed": number(0, 2**63 - 1)}}},
            {"key": "off", "inputs": {"required": {}}},
        ]
    },
]
INFO: Json = {
    "Sampler": kind(noise_seed=number(0, 2**64 - 1), steps=number(1, 50)),
    "Wide": kind(seed=number(0, 2**64 - 1)),
    "Paint": kind(seed=number(1, 2000)),
    "Narrow": kind(seed=number(1, 3)),
    "Optional": {**kind(), "input": {"optional": {"noise_seed": number(0, 2**16 - 1)}}},
    "Write": kind(mode=COMBO),
    "Small": kind(Seed=number(0, 65535)),
    "High": kind(seed=number(2**60, 2**64 - 1)),
    "Own": kind(seed=number(-1, 99)),
    "Free": kind(seed=number(-5, 5)),
    "Number": kind("INT", value=number(-(2**63), 2**63 - 1)),
    "Counter": kind("INT", value=number(0, 9)),
    "Seeds": kind("INT", seed=number(-(2**50), 2**50)),
    "Untold": {"input": {"required": {"value": number(-(2**63), 2**63 - 1)}}},  # without outputs
    "Pass": {"input": {"required": {"any": ["*", {}]}}},
    "Switch": kind("*", on_true=["*"], on_false=["*"]),
    "Size": kind("INT", image=["IMAGE"]),
    "Load": kind("IMAGE", value=number(-1, 9)),
    "Sum": kind("INT", a=number(), b=number()),
}


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


def write(mode: str, seed: Any) -> Json:
    return node("Write", **{"mode": mode, "mode.seed": seed})


def behind(source: Json, *consumers: Json) -> Json:
    """`source` feeds the consumers over a node that passes it on."""
    graph = {"n": source, "31": node("Pass", any=["n", 0])}
    return graph | {str(place): each for place, each in enumerate(consumers)}


NUMBER = {"n": node("Number", value=-1)}


WIDE, NARROW = node("Wide", seed=["31", 0]), node("Narrow", seed=["31", 0])
CASES: dict[str, tuple[Json, str, int, int]] = {
    "wide": ({"1": node("Wide", seed=-1)}, "1.seed", 0, 2**53 - 1),
    "narrow": ({"1": node("Narrow", seed=-1)}, "1.seed", 1, 3),
    "not from 0": ({"1": node("Paint", seed=-1)}, "1.seed", 1, 2000),
    "optional": ({"1": node("Optional", noise_seed=-1)}, "1.noise_seed", 0, 2**16 - 1),
    "in capitals": ({"1": node("Small", Seed=-1)}, "1.Seed", 0, 65535),
    "beyond what JavaScript can hold": (
        {"1": node("High", seed=-1)},
        *("1.seed", 2**60, 2**64 - 1),
    ),
    "not known": ({"1": node("Unknown", seed=-1)}, "1.seed", 0, 2**53 - 1),
    "noise, not known": ({"1": node("Unknown", noise_seed=-1)}, "1.noise_seed", 0, 2**53 - 1),
    "a dynamic combo": ({"1": write("on", -1)}, "1.mode.seed", 5, 9),
    "a dynamic combo, wide": ({"1": write("wide", -1)}, "1.mode.seed", 0, 2**53 - 1),
    "a primitive": ({**NUMBER, "1": node("Paint", seed=["n", 0])}, "n.value", 1, 2000),
    "behind a primitive": (behind(node("Untold", value=-1), WIDE), "n.value", 0, 2**53 - 1),
    "of several, the narrowest": (behind(node("Untold", value=-1), WIDE, NARROW), "n.value", 1, 3),
    "the primitive's own": (behind(node("Counter", value=-1), WIDE), "n.value", 0, 9),
    "a pack's seed node": (behind(node("Seeds", seed=-1), NARROW), "n.seed", 1, 3),
    "a pack's seed node before a dynamic combo": (
        {"n": node("Seeds", seed=-1), "1": write("on", ["n", 0])},
        *("n.seed", 5, 9),
    ),
    "over a switch, and beside it": (
        {
            **NUMBER,
            "s": node("Switch", on_true=["n", 0], on_false=7),
            "1": node("Sampler", noise_seed=["s", 0]),
            "2": node("Small", Seed=["s", 0]),
            "3": node("Paint", seed=["n", 0]),
        },
        *("n.value", 1, 2000),
    ),
    "in a switch": (
        {"n": node("Switch", on_true=["x", 0], on_false=-1), "x": node("Number", value=3)}
        | {"1": node("Paint", seed=["n", 0])},
        *("n.on_false", 1, 2000),
    ),
    "the only number of a node": (
        {"n": node("Some Int of a pack", amount=-1), "1": node("Paint", seed=["n", 0])},
        *("n.amount", 1, 2000),
    ),
}
NAMELESS = {"in capitals", "in a switch", "the only number of a node"}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("place", ["file", "param"])
def test_minus_one_is_drawn_within_the_limits_of_all_that_it_feeds(name: str, place: str) -> None:
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
    drawn = prepare(graph, [params] * 20, INFO)
    for one in drawn:
        assert low <= one.params[key] <= high
        assert one.whole()[node_id]["inputs"][input_name] == one.params[key]
        assert one.warnings == []
    if high > low + 100:
        assert len({one.params[key] for one in drawn}) > 1


@pytest.mark.parametrize("name", sorted(CASES.keys() - NAMELESS))
def test_by_the_name_seed_too(name: str) -> None:
    graph, key, *_ = CASES[name]
    node_id, _, input_name = key.partition(".")
    assert roles_of(graph)[node_id, input_name] == "seed"
    assert apply_params(graph, {"seed": -1}, INFO, new_seed=lambda low, _: low)[1]["seed"] >= 0


@pytest.mark.parametrize(
    ("graph", "warnings"),
    [
        ({"1": node("Own", seed=-1)}, 1),
        ({"1": node("Free", seed=-1)}, 1),
        (behind(node("Untold", value=-1), node("Free", seed=["31", 0])), 0),
        (behind(node("Untold", value=-1), node("Crop", width=["31", 0])), 0),
        ({"1": node("Sampler", steps=["n", 0]), "n": node("Number", value=-1)}, 0),
        (
            {
                "1": node("Paint", seed=["n", 0]),
                "n": node("Size", image=["l", 0]),
                "l": node("Load", value=-1),
            },
            0,
        ),
        (
            {
                "1": node("Paint", seed=["n", 0]),
                "n": node("Sum", a=["m", 0], b=-1),
                "m": node("Number", value=4),
            },
            0,
        ),
    ],
)
def test_where_minus_one_has_another_meaning_it_stays(graph: Json, warnings: int) -> None:
    setter = Setter(graph, INFO)
    assert setter.changes({}) == ([], {})
    assert len(setter.warnings) == warnings
    assert apply_params(graph, {}, INFO) == (graph, {})


def test_a_seed_that_is_sent_as_minus_one_is_told_for_its_task_alone() -> None:
    one, other = prepare({"1": node("Own", seed=3)}, [{"seed": -1}, {"seed": 4}], INFO, shared=True)
    assert "'1.seed' is sent as -1" in one.warnings[0]
    assert other.warnings == []


def test_the_nodes_that_a_batch_leaves_alone_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[Any] = []
    monkeypatch.setattr(seeds, "names_seed", lambda name: looks.append(name) or names_seed(name))
    monkeypatch.setattr(seeds, "is_random", lambda value: looks.append(value) or is_random(value))
    graph = {str(number): node("Own", seed=-1 if number == 7 else number) for number in range(50)}
    made = prepare(graph, [{"0.seed": seed} for seed in range(50)], INFO, shared=True)
    assert len(looks) < 50 * 10, "so many times a task at most, whatever the size of the graph"
    assert all("'7.seed' is sent as -1" in one.warnings[0] for one in made)


def test_a_seed_without_a_common_range_is_not_said_to_be_allowed() -> None:
    far = {"Paint": kind(seed=number(50, 60)), "Far": kind(seed=number(90, 99))}
    prompt = {
        "n": node("Number", value=1),
        "1": node("Paint", seed=["n", 0]),
        "2": node("Far", seed=["n", 0]),
        "3": node("Paint", seed=-1),
        "4": node("Backwards", seed=-1),
    }
    (one,) = prepare(prompt, [{}], INFO | far | {"Backwards": kind(seed=number(9, 5))})
    assert 50 <= one.whole()["3"]["inputs"]["seed"] <= 60
    (warning,) = one.warnings
    assert "'4.seed' is sent as -1" in warning
    assert "no number is within the limits" in warning


def test_a_name_of_ones_own_is_what_the_seed_is_told_by() -> None:
    prompt = {
        "n": {**node("Number", value=1), "_meta": {"title": "$my_seed"}},
        "1": node("Paint", seed=["n", 0]),
    }
    (one,) = prepare(prompt, [{"my_seed": -1}], INFO)
    assert 1 <= one.params["my_seed"] <= 2000


def test_a_seed_in_a_dynamic_combo_has_the_name() -> None:
    prompt = {"1": {**node("Write"), "inputs": {"mode": "on", "mode.seed": 6}}}
    assert {p.name: p.key for p in list_parameters(prompt, INFO)}["seed"] == "1.mode.seed"


def test_servers_of_different_limits_have_those_in_common() -> None:
    narrow = {"Paint": kind(seed=number(50, 60)), "Small": kind(Seed=number(0, 9))}
    both = merged([INFO, narrow, {"Paint": kind(seed=number(0, 55))}])
    for one in prepare({"1": node("Paint", seed=-1)}, [{}] * 50, both):
        assert 50 <= one.params["1.seed"] <= 55
    assert prepare({"1": node("Paint", seed=1999)}, [{"seed": 1998}], both)  # one server takes it


@pytest.mark.parametrize("written", ["-1", " -1 "])
@pytest.mark.parametrize("place", ["file", "param"])
def test_the_text_of_minus_one_is_one(written: str, place: str) -> None:
    graph = {"1": node("Paint", seed=written if place == "file" else 4)}
    params = {"seed": written} if place == "param" else {}
    (one,) = prepare(graph, [params], INFO)
    seed = one.whole()["1"]["inputs"]["seed"]
    assert isinstance(seed, int)
    assert 1 <= seed <= 2000
    assert set(one.params.values()) == {seed}
    (own,) = prepare({"1": node("Own", seed=written)}, [{}], INFO)
    assert "is sent as -1" in own.warnings[0]
    (text,) = prepare({"1": node("Unknown", text=written)}, [{}], INFO)
    assert text.whole()["1"]["inputs"]["text"] == written
