"""Links in both schemas, and what lies on their way."""

from typing import Any

import pytest

from app.errors import InvalidWorkflow
from tests.unit.conversion.graphs import Json, flow, inputs_of, node, run

LOAD = node(1, "Load", "b.ckpt", outputs=["MODEL", "CLIP"])
TUNE = node(2, "Tune", 1.0, inputs={"model": (1, "MODEL")}, outputs=["MODEL"])
SAMPLE = node(3, "Sample", inputs={"model": (2, "MODEL")})
TO_TUNE, TO_SAMPLE = [1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "MODEL"]


def chain(middle: Json, *links: Any) -> Json:
    return flow([LOAD, middle, SAMPLE], *(links or (TO_TUNE, TO_SAMPLE)))


def test_links_as_arrays() -> None:
    assert inputs_of(chain(TUNE), "3")["model"] == ["2", 0]


def test_links_as_objects_in_the_new_schema() -> None:
    keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    links = [dict(zip(keys, link, strict=True)) for link in (TO_TUNE, TO_SAMPLE)]
    reroutes = [{"id": 1, "parentId": 2, "linkIds": [1]}]  # native ones only bend the wire
    workflow = chain(TUNE) | {"links": links, "version": 1, "reroutes": reroutes}
    assert inputs_of(workflow, "2")["model"] == ["1", 0]
    assert inputs_of(workflow, "3")["model"] == ["2", 0]


def test_native_reroutes_of_the_old_schema_change_nothing() -> None:
    extra = {"reroutes": [{"id": 1, "linkIds": [2]}], "linkExtensions": [{"id": 2, "parentId": 1}]}
    assert inputs_of(chain(TUNE) | {"extra": extra}, "3")["model"] == ["2", 0]


def test_inputs_are_found_by_name_wherever_the_file_has_them() -> None:
    """Widgets were no inputs in old files, so the numbers differ."""
    sample = node(3, "Sample", inputs={"latent": None, "model": (2, "MODEL")})
    workflow = flow([LOAD, TUNE, sample], TO_TUNE, [2, 2, 0, 3, 1, "MODEL"])
    assert inputs_of(workflow, "3")["model"] == ["2", 0]
    assert "latent" not in inputs_of(workflow, "3")


def test_a_link_that_no_input_names_goes_by_number() -> None:
    sample = node(3, "Sample")
    assert inputs_of(flow([LOAD, TUNE, sample], TO_TUNE, TO_SAMPLE), "3")["model"] == ["2", 0]


def test_of_two_links_to_an_input_the_one_that_the_node_names_counts() -> None:
    other = node(4, "Load", outputs=["MODEL"])
    links = [[9, 4, 0, 3, 0, "MODEL"], TO_TUNE, TO_SAMPLE]
    assert inputs_of(flow([LOAD, TUNE, other, SAMPLE], *links), "3")["model"] == ["2", 0]


def test_a_converted_widget_is_sent_as_a_link() -> None:
    steps = {"name": "steps", "type": "INT", "link": 1, "widget": {"name": "steps"}}
    sample = node(3, "Sample", 7, "fixed", 30, 4.5, "fine") | {"inputs": [steps]}
    number = node(1, "Number", 12, outputs=["INT"])
    workflow = flow([number, sample], [1, 1, 0, 3, 0, "INT"])
    assert inputs_of(workflow, "3") == {
        "seed": 7, "steps": ["1", 0], "cfg": 4.5, "mode": "fine",
    }  # fmt: skip


def test_a_converted_widget_that_the_class_has_no_more_is_dropped() -> None:
    gone = {"name": "gone", "type": "INT", "link": 1, "widget": {"name": "gone"}}
    sample = node(3, "Sample") | {"inputs": [gone]}
    workflow = flow([node(1, "Number", outputs=["INT"]), sample], [1, 1, 0, 3, 0, "INT"])
    assert inputs_of(workflow, "3").keys() == {"seed", "steps", "cfg", "mode"}


def test_an_input_that_the_class_lacks_keeps_its_link() -> None:
    """Custom code adds inputs that the server does not declare."""
    extra = node(3, "Sample", inputs={"extra": (1, "MODEL")})
    assert inputs_of(flow([LOAD, extra], [1, 1, 0, 3, 0, "MODEL"]), "3")["extra"] == ["1", 0]


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


def test_numbers_come_first_then_ids_as_they_run() -> None:
    workflow = flow([node("b", "Load"), node(10, "Load"), node("a", "Load"), node(9, "Load")])
    assert list(run(workflow).prompt) == ["9", "10", "b", "a"]
