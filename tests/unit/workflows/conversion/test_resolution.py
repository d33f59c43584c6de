"""Where links lead: through reroutes, bypassed and muted nodes."""

from typing import Any

import pytest

from app.errors import InvalidWorkflow
from tests.unit.workflows.conversion.graphs import Json, flow, inputs_of, node, run

LOAD = node(1, "Load", "b.ckpt", outputs=["MODEL", "CLIP"])
TUNE = node(2, "Tune", 1.0, inputs={"model": (1, "MODEL")}, outputs=["MODEL"])
SAMPLE = node(3, "Sample", inputs={"model": (2, "MODEL")})


TO_TUNE, TO_SAMPLE = [1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]


def chain(middle: Json, *links: Any) -> Json:
    return flow([LOAD, middle, SAMPLE], *(links or (TO_TUNE, TO_SAMPLE)))


def test_reroute_nodes_are_passed() -> None:
    reroute = node(2, "Reroute", inputs={"": 1}, outputs=["MODEL"])
    conversion = run(chain(reroute))
    assert conversion.prompt["3"]["inputs"]["model"] == ["1", 0]
    assert "2" not in conversion.prompt


def test_a_muted_node_gives_nothing() -> None:
    conversion = run(chain(TUNE | {"mode": 2}))
    assert conversion.prompt.keys() == {"1", "3"}
    assert "model" not in conversion.prompt["3"]["inputs"]


def test_a_bypassed_node_passes_on_what_fits() -> None:
    conversion = run(chain(TUNE | {"mode": 4}))
    assert conversion.prompt.keys() == {"1", "3"}
    assert conversion.prompt["3"]["inputs"]["model"] == ["1", 0]


@pytest.mark.parametrize(
    ("kinds", "wanted", "passed"),
    [
        (["MODEL", "CLIP"], "CLIP", 1),  # the same number fits
        (["CLIP", "VAE"], "CLIP", 0),  # else the first of exactly the type
        (["A,CLIP", "VAE"], "CLIP", 0),  # else the first that fits
        (["MODEL", "*"], "CLIP", 1),
        (["MODEL", "VAE"], "CLIP", None),
    ],
)
def test_bypassing_goes_by_type(kinds: list[str], wanted: str, passed: int | None) -> None:
    info = {
        "Mid": {
            "input": {"required": {f"in{n}": [kind] for n, kind in enumerate(kinds)}},
            "output": ["MODEL", "CLIP"],
        },
        "End": {"input": {"required": {"end": [wanted]}}},
    }
    sources = [node(n + 10, "Load", outputs=["X"]) for n in range(len(kinds))]
    middle = node(2, "Mid", inputs={f"in{n}": n for n in range(len(kinds))}, mode=4)
    links = [[n, n + 10, 0, 2, n, "X"] for n in range(len(kinds))]
    end = node(3, "End", inputs={"end": 9})
    workflow = flow([*sources, middle, end], *links, [9, 2, 1, 3, 0, wanted])
    expected = {} if passed is None else {"end": [str(passed + 10), 0]}
    assert inputs_of(workflow, "3", info) == expected


def test_bypassing_looks_for_the_type_that_an_input_has_matched() -> None:
    match = {"template": {"template_id": "t", "allowed_types": "*"}}
    info = {"Switch": {"input": {"required": {"on": ["COMFY_MATCHTYPE_V3", match]}}}}
    number = {"name": "strength", "type": "FLOAT", "link": 1, "widget": {"name": "strength"}}
    tune = node(2, "Tune", outputs=["MODEL"], mode=4) | {"inputs": [number]}
    switch = node(3, "Switch", inputs={"on": (2, "MODEL")})
    workflow = flow([node(1, "Number"), tune, switch], [1, 1, 0, 2, 0, "F"], [2, 2, 0, 3, 0, "M"])
    assert inputs_of(workflow, "3", info) == {}


def test_links_to_nodes_that_are_not_there_are_left_out() -> None:
    workflow = flow([SAMPLE], [2, 77, 0, 3, 0, "MODEL"])
    assert "model" not in inputs_of(workflow, "3")


def test_a_circle_of_reroutes_is_named() -> None:
    one = node(4, "Reroute", inputs={"": 1})
    two = node(5, "Reroute", inputs={"": 2})
    end = node(3, "Sample", inputs={"model": 3})
    links = [[1, 5, 0, 4, 0, "*"], [2, 4, 0, 5, 0, "*"], [3, 4, 0, 3, 0, "*"]]
    with pytest.raises(InvalidWorkflow, match=r"Node 3: .*'model' run in a circle"):
        run(flow([one, two, end], *links))
