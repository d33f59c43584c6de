"""Files of the largest size that a body may have, made to be as much work as can be: each is
converted or refused with little work, and what comes of it is no larger than a body may be.

What takes long is a fourth as large here, as are the limits: HOSTILE_PART=1 is the whole size.
"""

import json
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from app.errors import InvalidWorkflow
from app.settings import Settings
from app.workflows.conversion import assembling, convert
from app.workflows.conversion.effort import MAX_STEPS, Effort
from app.workflows.json_text import MAX_VALUES, check_values
from tests import effort as effort_counted
from tests.effort import effort
from tests.unit.workflows.conversion.graphs import Json, border, flow, subgraph
from tests.unit.workflows.conversion.official import OBJECT_INFO

pytestmark = pytest.mark.slow

PART = int(os.environ.get("HOSTILE_PART", "4"))
# Calls of functions, for a file with so many values; most take a third of it.
CALLS = 60 * MAX_VALUES // PART
MOST = Settings.model_fields["max_body_bytes"].default


def part(count: int) -> int:
    return count // PART


def small(node_id: int | str, kind: str, **more: Any) -> Json:
    return {"id": node_id, "type": kind, **more}


def instances_of_a_subgraph_with_many_borders() -> Json:
    inner = subgraph(
        "S", [small("a", "Note")], inputs=[border(f"b{n}") for n in range(part(20_000))]
    )
    hosts = [small(n, "S", properties={"proxyWidgets": []}) for n in range(part(10_000))]
    return flow(hosts, definitions={"subgraphs": [inner]})


def a_border_with_many_links() -> Json:
    inner = subgraph("S", [small("a", "Note")], outputs=[border("o", *range(part(40_000)))])
    inner["links"] = [[n, "a", 0, "-20", 0] for n in range(1)]
    hosts = [small(n, "S", outputs=[{"name": "o"}]) for n in range(part(9_000))]
    ends = [
        small(10_000 + n, "Show", inputs=[{"name": "x", "link": n}]) for n in range(part(9_000))
    ]
    links = [[n, n, 0, 10_000 + n, 0, "*"] for n in range(part(9_000))]
    return flow([*hosts, *ends], *links, definitions={"subgraphs": [inner]})


def a_large_text_shown_by_many_instances() -> Json:
    text = "x" * 2_000_000
    inner = subgraph("S", [small("a", "CLIPTextEncode", widgets_values=[text])])
    return flow([small(n, "S") for n in range(5_000)], definitions={"subgraphs": [inner]})


def a_large_list_shown_by_many_instances() -> Json:
    inner = subgraph("S", [small("a", "Gone", widgets_values={"v": [0] * part(100_000)})])
    return flow([small(n, "S") for n in range(part(2_000))], definitions={"subgraphs": [inner]})


def doubling_subgraphs() -> Json:
    inside = [
        subgraph(
            f"S{level}", [small(f"{level}a", f"S{level + 1}"), small(f"{level}b", f"S{level + 1}")]
        )
        for level in range(30)
    ]
    return flow([small(1, "S0")], definitions={"subgraphs": inside})


def a_very_long_chain_of_subgraphs() -> Json:
    inside = [subgraph(f"S{n}", [small(f"a{n}", f"S{n + 1}")]) for n in range(part(18_000))]
    return flow([small(1, "S0")], definitions={"subgraphs": inside})


def subgraphs_within_subgraphs_within() -> Json:
    inside: list[Json] = []
    for n in range(90):
        inside = [subgraph(f"S{n}-{i}", []) for i in range(100)] + [
            subgraph(f"T{n}", []) | {"definitions": {"subgraphs": inside}}
        ]
    return flow([], definitions={"subgraphs": inside})


def proxies_for_one_widget() -> Json:
    inner = subgraph(
        "S", [small("a", "CLIPTextEncode", inputs=[{"name": "text", "widget": {"name": "text"}}])]
    )
    proxies = [["a", "text"] for _ in range(part(50_000))]
    hosts = [
        small(n, "S", properties={"proxyWidgets": proxies[: part(50_000) // 4]}) for n in range(4)
    ]
    return flow(hosts, definitions={"subgraphs": [inner]})


def proxies_into_a_wide_subgraph() -> Json:
    wide = subgraph(
        "T", [small("t", "Note")], inputs=[border(f"b{n}") for n in range(part(20_000))]
    )
    outer = subgraph("S", [small("a", "T")])
    proxies = [["a", f"x{n}"] for n in range(part(20_000))]
    host = small(1, "S", properties={"proxyWidgets": proxies})
    return flow([host], definitions={"subgraphs": [wide, outer]})


def proxies_with_endless_prefixes() -> Json:
    outer = subgraph("S", [small("a", "Note")])
    name = "1:" * 1_000_000 + "x"
    return flow(
        [small(1, "S", properties={"proxyWidgets": [["a", name]]})],
        definitions={"subgraphs": [outer]},
    )


def proxies_through_a_deep_chain() -> Json:
    depth = part(2_000)
    inside = [
        subgraph(
            f"S{n}",
            [small("a", f"S{n + 1}", inputs=[{"name": "v", "link": 1}])],
            [1, -10, 0, "a", 0],
            inputs=[border("v", 1)],
        )
        for n in range(depth)
    ]
    host = small(1, "S0", properties={"proxyWidgets": [["a", "v"] for _ in range(part(40_000))]})
    return flow([host], definitions={"subgraphs": inside})


def json_in_properties() -> Json:
    outer = subgraph("S", [small("a", "Note")])
    text = f"[{'[],' * 400_000}[]]"
    hosts = [small(n, "S", properties={"proxyWidgets": text}) for n in range(6)]
    return flow(hosts, definitions={"subgraphs": [outer]})


def a_primitive_in_the_way_of_many_hosts() -> Json:
    ends = [
        small(
            f"e{n}", "KSampler", inputs=[{"name": "steps", "widget": {"name": "steps"}, "link": n}]
        )
        for n in range(part(5_000))
    ] + [small("f", "Gone", inputs=[{"name": "x", "type": "ODD", "link": 9999}])]
    links = [[n, "p", 0, f"e{n}", 0] for n in range(part(5_000))] + [[9999, "p", 0, "f", 0]]
    inner = subgraph(
        "S", [small("p", "PrimitiveNode", outputs=[{"name": "v", "type": "INT"}]), *ends], *links
    )
    hosts = [small(n, "S", properties={"proxyWidgets": [["p", "v"]]}) for n in range(part(8_000))]
    return flow(hosts, definitions={"subgraphs": [inner]})


def group(nodes: list[Json], **more: Any) -> Json:
    return {"groupNodes": {"G": {"nodes": nodes, "links": [], "external": [], **more}}}


def instances_of_a_large_group() -> Json:
    nodes = [small(-1, "KSampler") for _ in range(part(2_000))]
    return flow([small(n, "workflow>G") for n in range(part(20_000))], extra=group(nodes))


def groups_among_many_links() -> Json:
    hosts = [small(n, "workflow>G", outputs=[{"name": "o"}]) for n in range(9_000)]
    links = [[n, n % 9_000, 0, 20_000, n, "*"] for n in range(20_000)]
    return flow([*hosts, small(20_000, "Show")], *links, extra=group([small(-1, "EmptyImage")]))


def a_group_with_a_long_title() -> Json:
    nodes = [small(-1, "KSampler", title="x" * 1_000_000) for _ in range(8)]
    return flow([small(n, "workflow>G") for n in range(1_000)], extra=group(nodes))


def a_bypassed_node_with_many_outputs() -> Json:
    inputs = [{"name": f"i{n}", "type": f"{'A,' * 100}T{n}"} for n in range(1_000)]
    bypassed = small(0, "Gone", mode=4, inputs=inputs)
    ends = [
        small(n, "Show", inputs=[{"name": "x", "type": f"Q{n}", "link": n}])
        for n in range(1, part(15_000))
    ]
    return flow([bypassed, *ends], *([n, 0, n, n, 0, f"Q{n}"] for n in range(1, part(15_000))))


def a_bypassed_node_with_long_types() -> Json:
    inputs = [{"name": f"i{n}", "type": "AB," * 2_600} for n in range(900)]
    bypassed = small(0, "Gone", mode=4, inputs=inputs)
    ends = [
        small(n, "Show", inputs=[{"name": "x", "type": "Q", "link": n}])
        for n in range(1, part(10_000))
    ]
    return flow([bypassed, *ends], *([n, 0, n, n, 0, "Q"] for n in range(1, part(10_000))))


def wires_with_a_long_name() -> Json:
    name = [0] * part(50_000)
    getters = [
        small(n, "GetNode", widgets_values=[name] if n == 1 else [n]) for n in range(1, part(5_000))
    ]
    ends = [
        small(9_000 + n, "Show", inputs=[{"name": "x", "link": n}]) for n in range(1, part(10_000))
    ]
    return flow([*getters, *ends], *([n, 1, n, 9_000 + n, 0, "*"] for n in range(1, part(10_000))))


def getters_in_a_deep_scope() -> Json:
    depth = 1_000
    inside = [subgraph(f"S{n}", [small(f"a{n}", f"S{n + 1}")]) for n in range(depth)]
    getters = [small(f"g{n}", "GetNode", widgets_values=[f"none {n}"]) for n in range(part(5_000))]
    ends = [small(f"e{n}", "Show", inputs=[{"name": "x", "link": n}]) for n in range(part(5_000))]
    inside.append(
        subgraph(
            f"S{depth}",
            [*getters, *ends],
            *([n, f"g{n}", 0, f"e{n}", 0] for n in range(part(5_000))),
        )
    )
    return flow([small(1, "S0")], definitions={"subgraphs": inside})


def a_primitive_with_a_large_value() -> Json:
    ends = [
        small(n, "CLIPTextEncode", inputs=[{"name": "text", "widget": {"name": "text"}, "link": n}])
        for n in range(1, part(8_000))
    ]
    value = [0] * part(100_000)
    primitive = small(0, "PrimitiveNode", widgets_values=[value], outputs=[{"type": "STRING"}])
    return flow([primitive, *ends], *([n, 0, 0, n, 0, "STRING"] for n in range(1, part(8_000))))


def combos_that_grow() -> Json:
    def combo(n: int) -> Json:
        count = 900
        slots = [
            {"name": f"o{i}", "widget": {"name": f"option{count + i}"}, "link": n * 1000 + i}
            for i in range(count)
        ]
        return small(n, "CustomCombo", widgets_values=["a", 0, *["x"] * count], inputs=slots)

    primitives = [
        small(f"p{i}", "PrimitiveNode", widgets_values=["y"], outputs=[{"type": "OPTION"}])
        for i in range(900)
    ]
    links = [[n * 1000 + i, f"p{i}", 0, n, i, "*"] for n in range(12) for i in range(900)]
    return flow([*map(combo, range(12)), *primitives], *links)


def file_names_that_fill_each_other() -> Json:
    nodes = [
        small(n, "SaveImage", title=f"N{n}", widgets_values=[f"%N{n - 1}.filename_prefix%" * 20])
        for n in range(1, 60)
    ]
    primitives = [
        small(
            1000 + n,
            "PrimitiveNode",
            widgets_values=[f"%N{n - 1}.filename_prefix%" * 20],
            properties={"Run widget replace on values": True},
            outputs=[{"type": "STRING"}],
        )
        for n in range(1, 60)
    ]
    for n, saving in enumerate(nodes, 1):
        saving["inputs"] = [
            {"name": "filename_prefix", "widget": {"name": "filename_prefix"}, "link": n}
        ]
    return flow([*nodes, *primitives], *([n, 1000 + n, 0, n, 0, "STRING"] for n in range(1, 60)))


def a_file_name_filled_with_a_large_text() -> Json:
    nodes = [
        small(1, "CLIPTextEncode", title="T", widgets_values=["x" * 3_000_000]),
        small(2, "SaveImage", widgets_values=["%T.text%" * 500_000]),
    ]
    return flow(nodes)


def texts(*values: str) -> Json:
    return flow([small(n, "CLIPTextEncode", widgets_values=[v]) for n, v in enumerate(values)])


def nodes_of_the_largest_class() -> Json:
    def size(name: str) -> int:
        groups = OBJECT_INFO[name].get("input") or {}
        return sum(len(groups.get(group) or {}) for group in ("required", "optional"))

    largest = max(OBJECT_INFO, key=size)
    return flow([small(n, largest) for n in range(part(60_000))])


def nodes_of_unknown_classes() -> Json:
    return flow([small(n, f"Gone{n}") for n in range(part(70_000))])


def links_and_nothing_else() -> Json:
    return flow([small(1, "Show")], *([n, 1, n, 1, n, "*"] for n in range(35_000)))


def reroutes_in_a_row_with_many_ends() -> Json:
    count = part(12_000)
    nodes = [small(n, "Reroute", inputs=[{"name": "", "link": n}]) for n in range(1, count)]
    nodes += [
        small(50_000 + n, "Show", inputs=[{"name": "x", "type": f"T{n}", "link": 50_000 + n}])
        for n in range(part(3_000))
    ]
    links = [[n, n - 1, 0, n, 0, "*"] for n in range(1, count)]
    links += [[50_000 + n, count - 1, 0, 50_000 + n, 0, "*"] for n in range(part(3_000))]
    return flow([small(0, "Load"), *nodes], *links)


CASES: list[Callable[[], Json]] = [
    instances_of_a_subgraph_with_many_borders,
    a_border_with_many_links,
    a_large_text_shown_by_many_instances,
    a_large_list_shown_by_many_instances,
    doubling_subgraphs,
    a_very_long_chain_of_subgraphs,
    subgraphs_within_subgraphs_within,
    proxies_for_one_widget,
    proxies_into_a_wide_subgraph,
    proxies_with_endless_prefixes,
    proxies_through_a_deep_chain,
    json_in_properties,
    a_primitive_in_the_way_of_many_hosts,
    instances_of_a_large_group,
    groups_among_many_links,
    a_group_with_a_long_title,
    a_bypassed_node_with_many_outputs,
    a_bypassed_node_with_long_types,
    wires_with_a_long_name,
    getters_in_a_deep_scope,
    a_primitive_with_a_large_value,
    combos_that_grow,
    file_names_that_fill_each_other,
    a_file_name_filled_with_a_large_text,
    nodes_of_the_largest_class,
    nodes_of_unknown_classes,
    links_and_nothing_else,
    reroutes_in_a_row_with_many_ends,
]
TEXTS = {
    "braces that are not closed": "{" * 4_000_000,
    "groups in groups": "{a|" * part(1_000_000) + "}" * part(1_000_000),
    "comments that are not closed": "/*" * part(2_000_000),
    "comments in a row": "/**/" * part(1_000_000),
    "line comments": "//\n" * part(1_000_000),
    "escapes": "\\{" * part(2_000_000),
    "many groups": "{a|b}" * part(400_000),
}


@pytest.fixture(autouse=True)
def _parts_of_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(assembling, "MAX_NODES", part(assembling.MAX_NODES))
    monkeypatch.setattr(effort_counted, "DEADLINE", part(effort_counted.DEADLINE))


def converted(workflow: Json) -> Json:
    return convert(workflow, OBJECT_INFO, effort=Effort(part(MAX_STEPS))).prompt


def within_limits(workflow: Json) -> Json:
    text = json.dumps(workflow, separators=(",", ":")).encode()
    assert len(text) <= MOST, f"no client can send {len(text)} bytes"
    check_values(text)
    return workflow


@pytest.mark.parametrize("made", CASES, ids=lambda made: made.__name__)
def test_a_file_takes_little_work(made: Callable[[], Json]) -> None:
    workflow = within_limits(made())
    with effort(CALLS), suppress(InvalidWorkflow):
        assert len(json.dumps(converted(workflow))) < 6 * MOST


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_dynamic_prompt_takes_little_work(text: str) -> None:
    workflow = within_limits(texts(text))
    with effort(CALLS):
        with_or_without = convert_or_refuse(workflow)
    assert with_or_without is None or len(with_or_without) <= len(text)


def convert_or_refuse(workflow: Json) -> str | None:
    try:
        return str(converted(workflow)["0"]["inputs"]["text"])
    except InvalidWorkflow:
        return None
