"""Where seeds stand, within which limits they are drawn, and what is said of those that stay."""

from typing import Any

import pytest

from app.servers.inventory import merged
from app.tasks.intake import prepare
from app.workflows.applying import Setter
from app.workflows.parameters import list_parameters

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
            {"key": "off", "inputs": {"required": {}}},
        ]
    },
]
INFO: Json = {
    "Sampler": kind(noise_seed=number(0, 2**64 - 1), steps=number(1, 50)),
    "Paint": kind(seed=number(1, 2000)),
    "Write": kind(mode=COMBO),
    "Small": kind(Seed=number(0, 65535)),
    "High": kind(seed=number(2**60, 2**64 - 1)),
    "Own": kind(seed=number(-1, 99)),
    "Number": kind("INT", value=number(-(2**63), 2**63 - 1)),
    "Seeds": kind("INT", seed=number(-(2**50), 2**50)),
    "Switch": kind("*", on_true=["*"], on_false=["*"]),
    "Size": kind("INT", image=["IMAGE"]),
    "Load": kind("IMAGE", value=number(-1, 9)),
    "Sum": kind("INT", a=number(), b=number()),
}


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


NUMBER = {"n": node("Number", value=-1)}
DRAWN = [
    ({"1": node("Paint", seed=-1)}, "1.seed", 1, 2000),
    ({"1": node("Small", Seed=-1)}, "1.Seed", 0, 65535),
    ({"1": node("High", seed=-1)}, "1.seed", 2**60, 2**64 - 1),  # nothing that JavaScript can hold
    ({"1": node("Unknown", noise_seed=-1)}, "1.noise_seed", 0, 2**53 - 1),
    ({"1": {**node("Write"), "inputs": {"mode": "on", "mode.seed": -1}}}, "1.mode.seed", 5, 9),
    ({**NUMBER, "1": node("Paint", seed=["n", 0])}, "n.value", 1, 2000),
    (
        {
            **NUMBER,
            "s": node("Switch", on_true=["n", 0], on_false=7),
            "1": node("Sampler", noise_seed=["s", 0]),
            "2": node("Small", Seed=["s", 0]),
            "3": node("Paint", seed=["n", 0]),
        },
        "n.value",
        1,
        2000,
    ),
    (
        {
            "n": node("Seeds", seed=-1),
            "1": {**node("Write"), "inputs": {"mode": "on", "mode.seed": ["n", 0]}},
        },
        "n.seed",
        0,
        9,
    ),
    (
        {"n": node("Switch", on_true=["x", 0], on_false=-1), "x": node("Number", value=3)}
        | {"1": node("Paint", seed=["n", 0])},
        "n.on_false",
        1,
        2000,
    ),
    (
        {"n": node("Some Int of a pack", amount=-1), "1": node("Paint", seed=["n", 0])},
        "n.amount",
        1,
        2000,
    ),
]


@pytest.mark.parametrize(("prompt", "key", "low", "high"), DRAWN)
@pytest.mark.parametrize("given", [True, False])
def test_a_seed_is_drawn_within_the_limits_of_all_that_it_feeds(
    prompt: Json, key: str, low: int, high: int, given: bool
) -> None:
    params = [{key: -1} if given else {}] * 20
    for one in prepare(prompt, params, INFO):
        node_id, _, name = key.partition(".")
        assert low <= one.params[key] <= high
        assert one.whole()[node_id]["inputs"][name] == one.params[key]
        assert one.warnings == []
    if high > low + 100:
        assert len({one.params[key] for one in prepare(prompt, params, INFO)}) > 1


@pytest.mark.parametrize(
    "prompt",
    [
        {"1": node("Own", seed=-1)},
        {"1": node("Sampler", steps=["n", 0]), "n": node("Number", value=-1)},
        {
            "1": node("Paint", seed=["n", 0]),
            "n": node("Size", image=["l", 0]),
            "l": node("Load", value=-1),
        },
        {"1": node("Paint", seed=["n", 0]), "n": node("Sum", a=["m", 0], b=-1)}
        | {"m": node("Number", value=4)},
    ],
)
def test_another_minus_one_stays(prompt: Json) -> None:
    setter = Setter(prompt, INFO)
    assert setter.changes({}) == ([], {})
    assert len(setter.warnings) == ("seed" in prompt["1"]["inputs"] and len(prompt) == 1)


def test_a_seed_that_is_sent_as_minus_one_is_told_for_its_task_alone() -> None:
    one, other = prepare({"1": node("Own", seed=3)}, [{"seed": -1}, {"seed": 4}], INFO, shared=True)
    assert "'1.seed' is sent as -1" in one.warnings[0]
    assert other.warnings == []


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
