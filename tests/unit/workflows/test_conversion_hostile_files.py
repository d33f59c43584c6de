"""Whatever a file holds: a prompt with warnings, or InvalidWorkflow. Never another error."""

import copy
import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import InvalidWorkflow
from app.workflows.conversion import convert
from tests.effort import calls_of
from tests.unit.workflows.conversion.graphs import Json, border, flow, node, run, subgraph
from tests.unit.workflows.conversion.official import OBJECT_INFO, template

MANGLED = [
    template(name)
    for name in (
        "flux_depth_lora_example",  # nested subgraphs
        "api_bytedance_seedream_5_0_pro_t2i",  # dynamic combos, autogrow
        "image_flux2_klein_text_to_image",  # ids that stand twice
        "audio_ace_step_1_5_split_llm",  # primitives
        "flux1_dev_uso_reference_image_gen",  # proxied widgets
        "hidream_e1_full",  # reroutes
    )
] + [
    flow(
        [node(1, "workflow>G", "a"), node(2, "KSampler", 1, "fixed", inputs={"model": 1})],
        [1, 1, 0, 2, 0, "MODEL"],
        extra={
            "groupNodes": {
                "G": {
                    "nodes": [node(-1, "CheckpointLoaderSimple"), node(-1, "PrimitiveNode")],
                    "links": [[1, 0, 0, 0, 3, "COMBO"]],
                    "external": [[0, 0, "MODEL"]],
                    "config": {"0": {"output": {"0": {"visible": True}}}},
                }
            }
        },
    )
]
JUNK: list[Any] = [
    *(None, True, 0, -1, 1, 3.7, float("nan"), float("inf"), 10**30, "9" * 5000),
    *("", "x", "-10", "-20", "12:3", [], {}, [[]], {"a": 1}, [1, 2, 3, 4, 5, 6], [None] * 6),
]


def paths(value: Any) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    pending: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while pending:
        path, item = pending.pop()
        children = item.items() if isinstance(item, dict) else ()
        children = enumerate(item) if isinstance(item, list) else children
        for key, child in children:
            found.append((*path, key))
            pending.append(((*path, key), child))
    return found


PATHS = [paths(workflow) for workflow in MANGLED]


def mangle(workflow: Json, path: tuple[Any, ...], junk: Any, *, delete: bool) -> None:
    place: Any = workflow
    with suppress(KeyError, IndexError, TypeError):  # an earlier change has taken it away
        for key in path[:-1]:
            place = place[key]
        if delete:
            del place[path[-1]]
        else:
            place[path[-1]] = copy.deepcopy(junk)


@settings(max_examples=400)
@given(data=st.data())
def test_mangled_files_raise_nothing_else(data: st.DataObject) -> None:
    number = data.draw(st.integers(0, len(MANGLED) - 1))
    workflow = copy.deepcopy(MANGLED[number])
    for _ in range(data.draw(st.integers(1, 10))):
        place = data.draw(st.integers(0, len(PATHS[number]) - 1))
        junk = data.draw(st.sampled_from(JUNK))
        mangle(workflow, PATHS[number][place], junk, delete=data.draw(st.booleans()))
    with suppress(InvalidWorkflow):
        convert(workflow, OBJECT_INFO)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_raises_nothing_else(value: Any) -> None:
    with suppress(InvalidWorkflow):
        convert(value, OBJECT_INFO)


@pytest.mark.parametrize("workflow", MANGLED)
def test_the_file_stays_as_it_is_and_the_answer_the_same(workflow: Json) -> None:
    before = json.dumps(workflow)
    first = convert(workflow, OBJECT_INFO, choose=min)
    for found in first.prompt.values():
        found["inputs"].clear()  # the caller may do with the answer what it likes
    second = convert(workflow, OBJECT_INFO, choose=min)
    assert json.dumps(workflow) == before
    assert second == convert(json.loads(before), OBJECT_INFO, choose=min)


def test_nothing_of_the_file_is_in_the_answer_itself() -> None:
    info = {"A": {"input": {"required": {"palette": ["COLORS"]}}}}
    workflow = flow([node(1, "A", ["#fff"])])
    run(workflow, info).prompt["1"]["inputs"]["palette"]["__value__"].append("#000")
    assert workflow["nodes"][0]["widgets_values"] == [["#fff"]]
    run(flow([node(1, "A")]), info).prompt["1"]["inputs"]["palette"]["__value__"].append("#000")
    assert run(flow([node(1, "A")]), info).prompt["1"]["inputs"]["palette"] == {"__value__": []}


@pytest.mark.parametrize("kind", ["Tune", "Reroute"])
def test_ten_thousand_nodes_in_a_row(kind: str) -> None:
    prompt = run(in_a_row(kind, 10_000)).prompt
    assert prompt["10999"]["inputs"]["model"] == ["9999" if kind == "Tune" else "0", 0]
    assert_linear(lambda count: in_a_row(kind, count))


def in_a_row(kind: str, count: int) -> Json:
    """So many, and a tenth as many that are all linked to the last one."""
    ends = range(count, count + count // 10)
    nodes = [node(0, "Load", outputs=["MODEL"])]
    nodes += [node(n, kind, inputs={"model": n}, outputs=["MODEL"]) for n in range(1, count)]
    nodes += [node(n, "Sample", inputs={"model": n}) for n in ends]
    links = [[n, n - 1, 0, n, 0, "MODEL"] for n in range(1, count)]
    links += [[n, count - 1, 0, n, 0, "MODEL"] for n in ends]
    return flow(nodes, *links)


def assert_linear(made: Callable[[int], Json]) -> None:
    """Twice as large a file takes about twice the work."""
    less, more = (calls_of(partial(run, made(count))) for count in (1_000, 2_000))
    assert more < 2.2 * less, f"{less} calls, and {more} for twice as much"


def nested(depth: int, copies: int) -> Json:
    inside = [
        subgraph(
            f"S{level}",
            [node(level * 10 + n, f"S{level + 1}", inputs={"model": n + 1}) for n in range(copies)],
            *([n + 1, -10, 0, level * 10 + n, 0] for n in range(copies)),
            inputs=[border("model", *range(1, copies + 1))],
        )
        for level in range(1, depth)
    ]
    last = subgraph(
        f"S{depth}",
        [node(depth * 10, "Sample", inputs={"model": 1})],
        [1, -10, 0, depth * 10, 0],
        inputs=[border("model", 1)],
    )
    nodes = [node(0, "Load"), node(1, "S1", inputs={"model": 1})]
    return flow(nodes, [1, 0, 0, 1, 0, "MODEL"], definitions={"subgraphs": [*inside, last]})


def test_fifty_nested_subgraphs() -> None:
    prompt = run(nested(50, 1)).prompt
    path = ":".join(["1", *(str(level * 10) for level in range(1, 51))])
    assert prompt[path]["inputs"]["model"] == ["0", 0]


def test_subgraphs_that_double_at_every_level_are_refused() -> None:
    with pytest.raises(InvalidWorkflow, match=r"Node 1:10:20.*more than 50000 nodes"):
        run(nested(40, 2))


def test_a_thousand_nested_subgraphs_are_no_recursion() -> None:
    run(nested(1000, 1))


def test_values_nested_too_deeply_are_refused() -> None:
    value: Any = []
    for _ in range(5000):
        value = [value]
    with pytest.raises(InvalidWorkflow, match="nested too deeply"):
        run(flow([node(1, "Load", value)]))


@pytest.mark.parametrize("value", [None, [], "text", {}, {"nodes": None}, {"nodes": {}}])
def test_what_is_no_graph_is_refused(value: Any) -> None:
    with pytest.raises(InvalidWorkflow, match='no "nodes"'):
        convert(value, OBJECT_INFO)


def test_what_is_no_node_is_named() -> None:
    conversion = run(flow([node(1, "Load"), "junk", node(1, "Load")]))  # type: ignore[list-item]
    assert conversion.prompt.keys() == {"1", "2"}
    assert conversion.warnings == [
        "Item 1 of the nodes is no node.",
        "Node 1 stands twice in the file; links are the first one's.",
    ]


def test_an_empty_graph_is_an_empty_prompt() -> None:
    assert run(flow([])).prompt == {}


def test_a_node_with_too_many_inputs_is_named() -> None:
    many = node(7, "Sample", inputs={f"i{n}": None for n in range(1001)})
    with pytest.raises(InvalidWorkflow, match="Node 7: It has more than 1000 inputs"):
        run(flow([many]))


def test_thousands_of_promoted_widgets() -> None:
    prompt = run(promoted_widgets(5_000)).prompt
    assert prompt["9999:4321"]["inputs"] == {"value": 4321}
    assert_linear(promoted_widgets)


def promoted_widgets(count: int) -> Json:
    inner = [
        node(n, "Number", n % 99)
        | {"inputs": [{"name": "value", "type": "INT", "link": n, "widget": {"name": "value"}}]}
        for n in range(1, count)
    ]
    links = [[n, -10, n - 1, n, 0] for n in range(1, count)]
    borders = [border(f"b{n}", n) for n in range(1, count)]
    definition = subgraph("S", inner, *links, inputs=borders)
    proxies = [[str(n), "value"] for n in range(1, count)]
    host = node(9999, "S", *range(1, count), properties={"proxyWidgets": proxies})
    return flow([host], definitions={"subgraphs": [definition]})
