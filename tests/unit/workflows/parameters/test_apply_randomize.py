"""randomize: which seeds are drawn anew, within which limits, and what is said of it."""

from typing import Any

import pytest

from app.services.prepare import prepare
from app.workflows.parameters.apply import NOTHING_TO_RENEW, Renewed, Setter
from tests.unit.workflows.conversion.graphs import INFO as UI
from tests.unit.workflows.conversion.graphs import border, flow, subgraph
from tests.unit.workflows.conversion.graphs import node as ui_node
from tests.unit.workflows.parameters.test_seeds import INFO, behind, kind, node, number, write

Json = dict[str, Any]
OWN: Json = {
    **INFO,
    "Controlled": kind(noise=["INT", {"min": 3, "max": 9, "control_after_generate": True}]),
    "Primitive": kind("INT", value=["INT", {"min": -9, "control_after_generate": True}]),
    "Latent": kind(width=number(16, 4096)),
    "Texts": {"input": {"required": {"seed": ["STRING", {}]}}},
    "Shown": {"input": {"required": {"source": ["*", {}]}}},
    "All": kind(seed=number(-(2**63), 2**64 - 1)),
}


def asked(graph: Json, renewed: Renewed = "all", **params: Any) -> dict[str, tuple[int, int]]:
    """The limits within which each seed is drawn."""
    limits: list[tuple[int, int]] = []

    def new_seed(low: int, high: int) -> int:
        limits.append((low, high))
        return high

    changes, used = Setter(graph, OWN, renewed=renewed, new_seed=new_seed).changes(params)
    for node_id, name, value in changes:
        assert used[f"{node_id}.{name}"] == value
    return dict(zip([key for key in used if key not in params], limits, strict=True))


WIDTH = {"w": node("Latent", width=["n", 0])}


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"1": node("Paint", seed=5)}, {"1.seed": (1, 2000)}),
        ({"1": node("Sampler", noise_seed=5, steps=9)}, {"1.noise_seed": (0, 2**53 - 1)}),
        ({"1": node("Small", Seed="7")}, {"1.Seed": (0, 65535)}),  # a text, as form tools send it
        ({"1": write("on", 6)}, {"1.mode.seed": (5, 9)}),
        ({"1": node("Unknown", seed=2**64 - 1)}, {"1.seed": (0, 2**53 - 1)}),
        ({"1": node("High", seed=2**60)}, {"1.seed": (2**60, 2**64 - 1)}),
        # Where a -1 means something of its own, a seed is still drawn: one that is none of these.
        ({"1": node("Own", seed=4)}, {"1.seed": (0, 99)}),
        ({"1": node("Free", seed=-1)}, {"1.seed": (0, 5)}),
        ({"1": node("All", seed=1)}, {"1.seed": (0, 2**53 - 1)}),
        ({"1": node("Controlled", noise=4)}, {"1.noise": (3, 9)}),
        ({"n": node("Number", value=4), "1": node("Paint", seed=["n", 0])}, {"n.value": (1, 2000)}),
        (behind(node("Seeds", seed=4), node("Narrow", seed=["31", 0])), {"n.seed": (1, 3)}),
        (
            {"n": node("Number", value=4), "1": node("Paint", seed=["n", 0])}
            | {"s": node("Shown", source=["n", 0])},
            {"n.value": (1, 2000)},
        ),
        # What is no seed, or no seed alone, stays.
        ({"n": node("Number", value=64), "1": node("Paint", seed=["n", 0]), **WIDTH}, {}),
        ({"n": node("Primitive", value=64), **WIDTH}, {}),
        ({"1": node("Texts", seed="abc")}, {}),
        ({"1": node("Texts", seed="12")}, {}),
        ({"1": node("Unknown", seed="abc", other_seed=None, seeds=4)}, {}),
        ({"1": node("Unknown", seed=True)}, {}),
        ({"1": node("Unknown", seed={"__value__": [1]})}, {}),
    ],
)
def test_all_seeds_of_a_graph(graph: Json, expected: Json) -> None:
    assert asked(graph) == expected
    assert asked(graph, ()) == {} or -1 in graph["1"]["inputs"].values()


def test_only_the_marked_ones_of_a_file() -> None:
    graph = {str(place): node("Paint", seed=place) for place in range(1, 5)}
    assert asked(graph, [[("2", "seed")], [("4", "seed")]]).keys() == {"2.seed", "4.seed"}


def test_those_of_one_widget_get_one_seed_within_the_limits_of_all() -> None:
    graph = {"1": node("Narrow", seed=1), "2": node("Small", Seed=1), "3": node("Wide", seed=1)}
    group = [("1", "seed"), ("2", "Seed"), ("3", "seed")]
    setter = Setter(graph, OWN, renewed=[group])
    for _ in range(20):
        _, used = setter.changes({})
        assert used.keys() == {"1.seed", "2.Seed", "3.seed"}
        (seed,) = set(used.values())
        assert 1 <= seed <= 3
    _, used = setter.changes({"2.Seed": 60000})
    assert used["2.Seed"] == 60000
    assert used["1.seed"] == used["3.seed"] <= 3


def test_one_each_where_no_seed_fits_all() -> None:
    graph = {"1": node("Narrow", seed=1), "2": node("High", seed=2**60)}
    _, used = Setter(graph, OWN, renewed=[[("1", "seed"), ("2", "seed")]]).changes({})
    assert used["1.seed"] <= 3
    assert used["2.seed"] >= 2**60


@pytest.mark.parametrize("given", ["1.seed", "seed"])
def test_a_seed_that_is_given_wins(given: str) -> None:
    graph = {"1": node("Paint", seed=5), "2": node("Narrow", seed=1)}
    (one,) = prepare(graph, [{given: 77}], OWN, randomize=True)
    assert one.params.keys() == {given, "2.seed"}
    assert one.params[given] == one.whole()["1"]["inputs"]["seed"] == 77
    (one,) = prepare(graph, [{given: -1}], OWN, randomize=True)
    assert 1 <= one.params[given] <= 2000


def test_each_of_a_batch_draws_its_own() -> None:
    graph = {"1": node("Wide", seed=5)}
    made = prepare(graph, [{}] * 50, OWN, shared=True, randomize=True)
    assert len({one.params["1.seed"] for one in made}) == 50
    assert all(one.whole()["1"]["inputs"]["seed"] == one.params["1.seed"] for one in made)


@pytest.mark.parametrize("mark", ["randomize", "fixed", "increment", "decrement"])
def test_a_file_of_the_page(mark: str) -> None:
    types = UI | {"Sample": {**UI["Sample"], "output_node": True}}
    sampler = ui_node(3, "Sample", 7, mark, 30, 4.5, "fine")
    seeds = {
        prepare(flow([sampler]), [{}], types, randomize=True)[0].whole()["3"]["inputs"]["seed"]
        for _ in range(5)
    }
    assert len(seeds) == (5 if mark == "randomize" else 1)
    (one,) = prepare(flow([sampler]), [{}], types, randomize=True)
    assert one.warnings.count(NOTHING_TO_RENEW) == (mark != "randomize")
    (one,) = prepare(flow([sampler]), [{}], types)
    assert one.whole()["3"]["inputs"]["seed"] == 7
    assert NOTHING_TO_RENEW not in one.warnings


def test_that_there_is_none_is_said() -> None:
    (one,) = prepare({"1": node("Latent", width=64)}, [{}], OWN, randomize=True)
    assert one.warnings == [NOTHING_TO_RENEW]


def sampler(node_id: int, seed: Any, link: int | None = None) -> Json:
    """A node of the page; its seed may be linked to a primitive or to a border."""
    socket = {"name": "seed", "type": "INT", "link": link, "widget": {"name": "seed"}}
    return ui_node(node_id, "Sample", seed, "fixed", 30, 4.5, "fine") | {"inputs": [socket]}


PRIMITIVE_BEFORE_TWO = flow(
    [ui_node(1, "PrimitiveNode", -1, "fixed", outputs=["INT"]), sampler(3, 7, 1), sampler(4, 7, 2)],
    *([1, 1, 0, 3, 0, "INT"], [2, 1, 0, 4, 0, "INT"]),
)
BEHIND_REROUTES = flow(
    [ui_node(1, "Reroute", inputs={"": None}, outputs=["*"]), sampler(3, -1, 1)],
    [1, 1, 0, 3, 0, "INT"],
)
PROMOTED = flow(
    [ui_node(1, "S", -1, inputs={"seed": (None, "INT")}), ui_node(2, "S", -1)],
    definitions={
        "subgraphs": [
            subgraph(
                *("S", [sampler(10, 7, 1)], [1, -10, 0, 10, 0]),
                inputs=[border("seed", 1, kind="INT")],
            )
        ]
    },
)
WITHIN = flow([ui_node(1, "S")], definitions={"subgraphs": [subgraph("S", [sampler(10, "-1")])]})
NODE_BEFORE = flow(
    [ui_node(1, "Number", -1, outputs=["INT"]), sampler(3, 7, 1)], [1, 1, 0, 3, 0, "INT"]
)


@pytest.mark.parametrize(
    ("workflow", "keys", "seeds"),
    [
        (flow([sampler(3, -1)]), {"3.seed"}, 1),
        (PRIMITIVE_BEFORE_TWO, {"3.seed", "4.seed"}, 1),
        (BEHIND_REROUTES, {"3.seed"}, 1),
        (PROMOTED, {"1:10.seed", "2:10.seed"}, 2),
        (WITHIN, {"1:10.seed"}, 1),
        (NODE_BEFORE, {"1.value"}, 1),
    ],
)
@pytest.mark.parametrize("randomize", [False, True])
def test_minus_one_in_a_file_of_the_page(
    workflow: Json, keys: set[str], seeds: int, *, randomize: bool
) -> None:
    types = UI | {"Sample": {**UI["Sample"], "output_node": True}}
    drawn = [prepare(workflow, [{}], types, randomize=randomize)[0] for _ in range(8)]
    for one in drawn:
        assert one.params.keys() == keys
        assert len(set(one.params.values())) == seeds
        for key, seed in one.params.items():
            node_id, _, name = key.rpartition(".")
            assert one.whole()[node_id]["inputs"][name] == seed >= 0
        assert one.warnings == []
    assert len({tuple(one.params.values()) for one in drawn}) > 1


def test_a_primitive_that_is_no_seed_alone_stays_within_the_limits() -> None:
    workflow = flow(
        [ui_node(1, "PrimitiveNode", -1, "fixed", outputs=["INT"]), sampler(3, 7, 1)],
        [1, 1, 0, 3, 0, "INT"],
    )
    workflow["nodes"][1]["inputs"][0] |= {"name": "steps", "widget": {"name": "steps"}}
    types = UI | {"Sample": {**UI["Sample"], "output_node": True}}
    (one,) = prepare(workflow, [{}], types)
    assert one.whole()["3"]["inputs"]["steps"] == 1
