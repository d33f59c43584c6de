"""Use Everywhere: links that only the page's extension adds, named in the file or by its rules."""

from typing import Any

import pytest

from tests.unit.workflows.conversion.graphs import (
    INFO,
    SEED,
    Json,
    border,
    flow,
    inputs_of,
    node,
    run,
    slot,
    subgraph,
)

MORE: Json = {
    "Join": {
        "input": {
            "required": {"positive": ["COND"], "negative": ["COND"], "model": ["MODEL"]},
            "optional": {"noise_seed": SEED},
        },
        "output": ["LATENT"],
    },
    "Other": {"input": {"required": {"model": ["MODEL"], "clip": ["CLIP"]}}, "output": []},
    "Take": {"input": {"required": {"cond": ["COND"]}}, "output": []},
}
PACK: Json = {
    **MORE,
    **{
        name: {"input": {"optional": {"anything": ["*", {}]}}, "output": [], "output_node": True}
        for name in ("Anything Everywhere", "Anything Everywhere3", "Anything Everywhere?")
    },
    "Prompts Everywhere": {"input": {"optional": {"+ve": ["*"], "-ve": ["*"]}}, "output": []},
}
SEEDS: Json = {"Seed Everywhere": {"input": {"required": {"seed": SEED}}, "output": ["INT"]}}
with_and_without_pack = pytest.mark.parametrize("info", [MORE, PACK], ids=["without", "with"])


def load(node_id: int = 1) -> Json:
    return node(node_id, "Load", "a.ckpt", outputs=["MODEL", "CLIP"])


def everywhere(node_id: int, *types: str, kind: str = "Anything Everywhere", **more: Any) -> Json:
    """Its inputs hold the links 1, 2, ..."""
    inputs = {f"anything{place or ''}": (place + 1, name) for place, name in enumerate(types)}
    return node(node_id, kind, inputs=inputs, **more)


def sender(*targets: Json, **more: Any) -> Json:
    """A model that is sent everywhere, and where it may go."""
    return flow([load(), everywhere(2, "MODEL", **more), *targets], [1, 1, 0, 2, 0, "MODEL"])


def noted(upstream: Any, slot_: int, downstream: Any, place: int) -> Json:
    return {
        "upstream": upstream, "upstream_slot": slot_, "downstream": downstream,
        "downstream_slot": place, "controller": 9, "type": "MODEL",
    }  # fmt: skip


def saved(nodes: list[Json], *links: Json) -> Json:
    return flow(nodes) | {"extra": {"ue_links": list(links)}}


# What the file names
@with_and_without_pack
def test_the_links_that_a_file_names_are_there(info: Json) -> None:
    target = node(3, "Other", inputs={"model": (None, "MODEL"), "clip": (None, "CLIP")})
    workflow = saved([load(), target], noted("1", 1, 3, 1), noted(1, 0, "3", 0))
    conversion = run(workflow, info)
    assert conversion.prompt["3"]["inputs"] == {"model": ["1", 0], "clip": ["1", 1]}
    assert conversion.warnings == []
    assert conversion.prompt.keys() == {"1", "3"}


def test_by_the_name_that_the_file_has_at_that_place() -> None:
    target = node(3, "Other", inputs={"clip": (None, "CLIP"), "model": (None, "MODEL")})
    assert inputs_of(saved([load(), target], noted("1", 0, 3, 1)), "3", MORE) == {"model": ["1", 0]}


def test_what_is_connected_stays_and_what_dangles_is_not_connected() -> None:
    two = node(3, "Other", inputs={"model": (1, "MODEL"), "clip": (77, "CLIP")})
    workflow = flow([load(), load(2), two], [1, 1, 0, 3, 0, "MODEL"])
    workflow["extra"] = {"ue_links": [noted("2", 0, 3, 0), noted("2", 1, 3, 1)]}
    assert inputs_of(workflow, "3", MORE) == {"model": ["1", 0], "clip": ["2", 1]}


def test_where_a_file_names_them_no_rule_adds_others() -> None:
    other = node(4, "Tune", 1.0, inputs={"model": (None, "MODEL")})
    target = node(3, "Other", inputs={"model": (None, "MODEL"), "clip": (None, "CLIP")})
    workflow = sender(target, other)
    workflow["extra"] = {"ue_links": [noted("1", 0, 3, 0)]}
    assert "model" in inputs_of(workflow, "3", MORE)
    assert "model" not in inputs_of(workflow, "4", MORE)


def test_through_a_bypassed_node_and_into_a_widget() -> None:
    tune = node(2, "Tune", 1.0, inputs={"model": (1, "MODEL")}, outputs=["MODEL"], mode=4)
    number = node(5, "Number", 12, outputs=["INT"])
    steps = {**slot("steps", (None, "INT")), "widget": {"name": "steps"}}
    sampler = node(3, "Sample", 7, "fixed", 30, inputs={"model": (None, "MODEL")})
    sampler["inputs"].append(steps)
    workflow = flow([load(), tune, number, sampler], [1, 1, 0, 2, 0, "MODEL"])
    workflow["extra"] = {"ue_links": [noted("2", 0, 3, 0), noted("5", 0, 3, 1)]}
    found = inputs_of(workflow, "3")
    assert (found["model"], found["steps"], found["seed"]) == (["1", 0], ["5", 0], 7)


def test_within_a_subgraph_and_over_its_borders() -> None:
    inner = subgraph(
        "S",
        [
            node(10, "Tune", 1.0, inputs={"model": (None, "MODEL")}, outputs=["MODEL"]),
            node(11, "Tune", 2.0, inputs={"model": (None, "MODEL")}, outputs=["MODEL"]),
        ],
        inputs=[border("model", kind="MODEL")],
        outputs=[border("MODEL", kind="MODEL")],
    )
    links = noted("-10", 0, 10, 0), noted("10", 0, 11, 0), noted("11", 0, -20, 0)
    inner["extra"] = {"ue_links": list(links)}
    host = node(2, "S", inputs={"model": (1, "MODEL")}, outputs=["MODEL"])
    target = node(3, "Other", inputs={"model": (2, "MODEL")})
    workflow = flow(
        [load(), host, target],
        [1, 1, 0, 2, 0, "MODEL"],
        [2, 2, 0, 3, 0, "MODEL"],
        definitions={"subgraphs": [inner]},
    )
    prompt = run(workflow, MORE).prompt
    assert prompt["2:10"]["inputs"]["model"] == ["1", 0]
    assert prompt["2:11"]["inputs"]["model"] == ["2:10", 0]
    assert prompt["3"]["inputs"]["model"] == ["2:11", 0]


def test_in_a_subgraph_whose_nodes_get_new_ids() -> None:
    inner = subgraph("S", [load(1), node(3, "Other", inputs={"model": (None, "MODEL")})])
    inner["extra"] = {"ue_links": [noted("1", 0, 3, 0)]}
    workflow = flow([load(1), node(3, "S")], definitions={"subgraphs": [inner]})
    (found,) = (n for n in run(workflow, MORE).prompt.values() if n["class_type"] == "Other")
    assert found["inputs"]["model"] != ["1", 0]


@pytest.mark.parametrize(
    "link",
    [
        noted("99", 0, 3, 0),
        noted("1", 0, 99, 0),
        noted("1", 0, 3, 7),
        noted("1", 0, 3, -1),
        noted("-10", 0, 3, 0),
        noted("1", 0, "-20", 0),
    ],
)
def test_one_that_leads_nowhere_is_told(link: Json) -> None:
    target = node(3, "Other", inputs={"model": (None, "MODEL")})
    (said,) = run(saved([load(), target], link), MORE).warnings
    assert "leads nowhere" in said
    assert "API format" in said


@pytest.mark.parametrize(
    "links",
    [
        None,
        {},
        "x",
        [None],
        [1],
        [[]],
        [{}],
        [{"upstream": {}, "downstream": []}],
        [noted(1.5, 0, 3, 0)],
    ],
)
def test_whatever_the_file_has_there(links: Any) -> None:
    target = node(3, "Other", inputs={"model": (None, "MODEL")})
    workflow = flow([load(), target]) | {"extra": {"ue_links": links}}
    assert run(workflow, MORE).prompt["3"]["inputs"] == {}


# What follows from rules
@with_and_without_pack
@pytest.mark.parametrize("kind", ["Anything Everywhere", "Anything Everywhere3"])
def test_all_open_inputs_of_the_type(info: Json, kind: str) -> None:
    nodes = [
        load(),
        everywhere(2, "MODEL", "CLIP", kind=kind),
        node(3, "Other", inputs={"model": (None, "MODEL"), "clip": (None, "CLIP")}),
        node(4, "Tune", 1.0, inputs={"model": (None, "MODEL")}),
        load(5),
        node(6, "Tune", 1.0, inputs={"model": (3, "MODEL")}),
    ]
    links = [1, 1, 0, 2, 0, "MODEL"], [2, 1, 1, 2, 1, "CLIP"], [3, 5, 0, 6, 0, "MODEL"]
    conversion = run(flow(nodes, *links), info)
    prompt = conversion.prompt
    assert prompt["3"]["inputs"] == {"model": ["1", 0], "clip": ["1", 1]}
    assert prompt["4"]["inputs"]["model"] == ["1", 0]
    assert prompt["6"]["inputs"]["model"] == ["5", 0]
    assert "2" not in prompt
    assert conversion.warnings == []


def test_the_type_is_the_sources_own_behind_reroutes_too() -> None:
    nodes = [
        load(),
        node(7, "Reroute", inputs={"": 1}, outputs=["*"]),
        everywhere(2, "*"),
        node(3, "Other", inputs={"model": (None, "MODEL"), "clip": (None, "CLIP")}),
    ]
    nodes[2]["inputs"][0]["link"] = 2
    workflow = flow(nodes, [1, 1, 1, 7, 0, "CLIP"], [2, 7, 0, 2, 0, "*"])
    assert inputs_of(workflow, "3", MORE) == {"clip": ["1", 1]}


def test_not_to_itself_nor_to_what_is_off_or_refuses() -> None:
    tune = node(1, "Tune", 1.0, inputs={"model": (None, "MODEL")}, outputs=["MODEL"])
    refuses = node(4, "Tune", 1.0, inputs={"model": (None, "MODEL")})
    refuses["properties"] = {"rejects_ue_links": True}
    nodes = [tune, everywhere(2, "MODEL"), node(3, "Note", "x"), refuses]
    prompt = run(flow(nodes, [1, 1, 0, 2, 0, "MODEL"]), MORE).prompt
    assert all("model" not in one["inputs"] for one in prompt.values())


@pytest.mark.parametrize("mode", [2, 4])
def test_one_that_is_off_sends_nothing(mode: int) -> None:
    target = node(3, "Tune", 1.0, inputs={"model": (None, "MODEL")})
    assert "model" not in inputs_of(sender(target, mode=mode), "3", MORE)
    workflow = sender(target)
    workflow["nodes"][0]["mode"] = mode
    assert "model" not in inputs_of(workflow, "3", MORE)


def test_two_that_send_one_type_send_nothing_and_it_is_told() -> None:
    nodes = [load(), everywhere(2, "MODEL"), load(5), everywhere(6, "MODEL")]
    nodes[3]["inputs"][0]["link"] = 2
    nodes.append(node(3, "Tune", 1.0, inputs={"model": (None, "MODEL")}))
    conversion = run(flow(nodes, [1, 1, 0, 2, 0, "MODEL"], [2, 5, 0, 6, 0, "MODEL"]), MORE)
    assert "model" not in conversion.prompt["3"]["inputs"]
    (said,) = conversion.warnings
    assert "'model'" in said
    assert "API format" in said


@with_and_without_pack
def test_prompts(info: Json) -> None:
    nodes = [
        node(1, "Encode", "a", outputs=["COND"]),
        node(5, "Encode", "b", outputs=["COND"]),
        everywhere(2, "COND", "COND", kind="Prompts Everywhere"),
        node(3, "Join", inputs={"positive": (None, "COND"), "negative": (None, "COND")}),
        node(4, "Take", inputs={"cond": (None, "COND")}),
    ]
    workflow = flow(nodes, [1, 1, 0, 2, 0, "COND"], [2, 5, 0, 2, 1, "COND"])
    prompt = run(workflow, info).prompt
    assert prompt["3"]["inputs"]["positive"] == ["1", 0]
    assert prompt["3"]["inputs"]["negative"] == ["5", 0]
    assert "cond" not in prompt["4"]["inputs"]


def seeds(mark: str = "randomize") -> Json:
    def sampler(node_id: int, name: str, kind: str) -> Json:
        found = node(node_id, kind, 7, "fixed", inputs={name: (None, "INT")})
        found["inputs"][0]["widget"] = {"name": name}
        return found

    source = node(1, "Seed Everywhere", 4711, mark, outputs=["INT"])
    not_an_input = node(5, "Sample", 8, "fixed")
    return flow(
        [source, sampler(3, "seed", "Sample"), sampler(4, "noise_seed", "Join"), not_an_input]
    )


def test_a_seed_is_linked_where_the_server_has_the_node() -> None:
    prompt = run(seeds(), MORE | SEEDS).prompt
    assert prompt["1"]["inputs"] == {"seed": 4711}
    assert prompt["3"]["inputs"]["seed"] == prompt["4"]["inputs"]["noise_seed"] == ["1", 0]
    assert prompt["5"]["inputs"]["seed"] == 8


def test_a_seed_needs_no_node_of_the_server() -> None:
    conversion = run(seeds(), MORE)
    assert conversion.prompt["3"]["inputs"]["seed"] == 4711
    assert conversion.prompt["4"]["inputs"]["noise_seed"] == 4711
    assert "1" not in conversion.prompt
    assert conversion.warnings == []
    assert conversion.drawn == [[("3", "seed"), ("4", "noise_seed")]]
    assert run(seeds("fixed"), MORE).drawn == []


def by_pattern(title: str, name: str = ".*", *more: str) -> Json:
    targets = [
        node(3, "Tune", 1.0, inputs={"model": (None, "MODEL")}, title="First pass"),
        node(4, "Tune", 1.0, inputs={"model": (None, "MODEL")}, title="Second"),
    ]
    workflow = sender(*targets, kind="Anything Everywhere?")
    workflow["nodes"][1]["widgets_values"] = [title, name, *more]
    return workflow


@pytest.mark.parametrize(
    ("title", "name", "expected"),
    [
        (".*", ".*", {"3", "4"}),
        ("First", ".*", {"3"}),
        ("^Second$|^Third$", "", {"4"}),
        ("pass|cond", "model", {"3", "4"}),
        (".*", "^mod", {"3", "4"}),
        (".*", "clip", set()),
        ("", "", {"3", "4"}),
    ],
)
def test_simple_expressions(title: str, name: str, expected: set[str]) -> None:
    conversion = run(by_pattern(title, name), MORE)
    linked = {key for key, one in conversion.prompt.items() if "model" in one["inputs"]}
    assert linked == expected
    assert conversion.warnings == []


@pytest.mark.parametrize(
    "workflow",
    [
        by_pattern("(a+)+$"),
        by_pattern(".*", "[mn]odel"),
        by_pattern(".*", ".*", "Group 1"),
        sender(properties={"group_restricted": True}),
        sender(properties={"ue_properties": {"color_restricted": 1}}),
        sender(properties={"ue_properties": {"group_regex": "A"}}),
        sender(properties={"ue_properties": {"title_regex": "A", "title_regex_invert": True}}),
        by_pattern("a" * 101),
    ],
)
def test_what_cannot_be_told_is_a_warning(workflow: Json) -> None:
    conversion = run(workflow, MORE)
    assert all("model" not in one["inputs"] for one in conversion.prompt.values())
    (said,) = conversion.warnings
    assert said.startswith("Node 2 ('Anything Everywhere")
    assert "API format" in said


def test_the_pack_of_today_is_told_which_widgets_take_links() -> None:
    workflow = seeds()
    for each in workflow["nodes"][1:]:
        each["properties"] = {"ue_properties": {"widget_ue_connectable": {"noise_seed": True}}}
    prompt = run(workflow, MORE).prompt
    assert (prompt["3"]["inputs"]["seed"], prompt["4"]["inputs"]["noise_seed"]) == (7, 4711)


def test_widgets_take_what_is_sent_only_where_they_were_made_inputs() -> None:
    source = node(1, "Number", 12, outputs=["INT"])

    def sampler(*names: str) -> Json:
        found = node(3, "Sample", 7, "fixed", 30)
        found["inputs"] = [
            {**slot(name, (None, "INT")), "widget": {"name": name}} for name in names
        ]
        return flow([source, everywhere(2, "INT"), found], [1, 1, 0, 2, 0, "INT"])

    assert inputs_of(sampler(), "3")["steps"] == 30
    assert inputs_of(sampler("steps"), "3")["steps"] == ["1", 0]
    assert inputs_of(sampler("steps"), "3")["seed"] == 7
    of_a_newer_page = sampler("seed", "steps", "cfg", "mode")
    assert inputs_of(of_a_newer_page, "3")["steps"] == 30
    of_a_newer_page["nodes"][2]["properties"] = {"widget_ue_connectable": {"steps": True}}
    assert inputs_of(of_a_newer_page, "3")["steps"] == ["1", 0]
    assert inputs_of(of_a_newer_page, "3")["seed"] == 7


def test_all_classes_here_are_known() -> None:
    assert INFO.keys().isdisjoint(PACK)
