"""Texts that are set are filled in like those that are typed into ComfyUI's page."""

import datetime
import re
from collections.abc import Sequence
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.services.prepare import prepare
from app.workflows.extra_data import along, to_send
from app.workflows.parameters.apply import Setter
from app.workflows.parameters.dynamic_text import DynamicTexts
from app.workflows.saved.write_back import set_params
from tests.unit.workflows.conversion.graphs import INFO as PAGE_INFO
from tests.unit.workflows.conversion.graphs import flow, node

Json = dict[str, Any]
PREFIX = ["STRING", {"default": "ComfyUI"}]
INFO: Json = {
    **PAGE_INFO,
    "SaveImage": {"input": {"required": {"filename_prefix": PREFIX}}, "output_node": True},
}
DAY = "%date:yyyy-MM-dd%"


def prompt(text: str = "a cat", prefix: str = "x") -> Json:
    return {
        "1": {"class_type": "Encode", "inputs": {"text": text, "clip": ["9", 1]}},
        "2": {
            "class_type": "Sample",
            "inputs": {"seed": 7, "steps": 20, "model": ["9", 0]},
            "_meta": {"title": "Main"},
        },
        "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": prefix}},
        "9": {"class_type": "Load", "inputs": {"name": "a.ckpt"}},
    }


def page(text: str = "a cat", prefix: str = "x") -> Json:
    return flow([node(1, "Encode", text), node(3, "SaveImage", prefix)])


def last(options: Sequence[str]) -> str:
    return options[-1]


def filled(graph: Json, params: Json, *, own: bool = False) -> Json:
    setter = Setter(graph, INFO, texts=DynamicTexts(graph, INFO, own=own, choose=last))
    return setter.changes(params)[1]


def today() -> str:
    return datetime.datetime.now().strftime("%Y-%m-%d")


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("1.text", "a {red|green} cat // for now", "a green cat "),
        ("1.text", "a \\{red|green\\} cat", "a {red|green} cat"),
        ("1.text", f"__animal__ {DAY} 50%", f"__animal__ {DAY} 50%"),
        ("3.filename_prefix", "%Sample.seed%_%Main.steps%", "7_20"),
        ("3.filename_prefix", "{a|b}_%width%_%No.seed%", "{a|b}_%width%_%No.seed%"),
        ("3.filename_prefix", "%Sample.model%", "%Sample.model%"),  # a link
    ],
)
def test_what_is_set_is_filled_in(key: str, value: str, expected: str) -> None:
    assert filled(prompt(), {key: value}) == {key: expected}


def test_dates() -> None:
    before = today()
    found = filled(prompt(), {"filename_prefix": f"{DAY}/y"})["filename_prefix"]
    assert found in (f"{before}/y", f"{today()}/y")


def test_values_are_those_that_run() -> None:
    params = {"3.filename_prefix": "%Sample.seed%_%Sample.steps%", "2.seed": -1, "2.steps": 5}
    found = filled(prompt(), params)
    assert found["3.filename_prefix"] == f"{found['2.seed']}_5"


def test_own_texts_only_where_asked_for() -> None:
    graph = prompt("{a|b}", "%Sample.seed%")
    assert filled(graph, {}) == {}
    assert filled(graph, {}, own=True) == {"1.text": "b", "3.filename_prefix": "7"}
    assert filled(graph, {"1.text": "{c|d}"}, own=True)["1.text"] == "d"


def made(workflow: Json, params: Json, fill: bool | None) -> tuple[str, str]:
    (found,) = prepare(workflow, [params], INFO, fill_texts=fill)
    return found.prompt["1"]["inputs"]["text"], found.prompt["3"]["inputs"]["filename_prefix"]


@pytest.mark.parametrize("fill", [None, True])
def test_in_a_file_of_the_page(fill: bool | None) -> None:
    text, prefix = made(page(), {"1.text": "{red|red}", "3.filename_prefix": DAY}, fill)
    assert text == "red"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", prefix)


def test_literally_in_a_file_of_the_page() -> None:
    params = {"1.text": "{red|red}", "3.filename_prefix": DAY}
    assert made(page(), params, False) == ("{red|red}", DAY)
    assert made(page("{cat|cat}"), {}, False)[0] == "cat", "its own as the page has them"


@pytest.mark.parametrize("fill", [None, False])
def test_api_format_goes_as_it_is(fill: bool | None) -> None:
    graph = prompt("{a|a}", DAY)
    assert made(graph, {}, fill) == ("{a|a}", DAY)
    assert made(graph, {"1.text": "{b|b}"}, fill) == ("{b|b}", DAY)


def test_api_format_behind_the_option() -> None:
    text, prefix = made(prompt("{a|a}", DAY), {}, True)
    assert (text, len(prefix)) == ("a", 10)
    assert made(prompt("{a|a}", "x"), {"1.text": "{b|b}"}, True) == ("b", "x")


@pytest.mark.parametrize("workflow", [page(), prompt()])
def test_each_of_a_batch_is_filled_in_anew(workflow: Json) -> None:
    sets = [{"1.text": "{a|b|c|d|e|f|g|h}"}] * 40
    found = {one.params["1.text"] for one in prepare(workflow, sets, INFO, fill_texts=True)}
    assert len(found) > 1
    assert found <= set("abcdefgh")


def test_texts_that_stand_for_too_much() -> None:
    sets = [{"1.text": "{" * 90 + "a" * 5000 + "}" * 90}] * 1000
    with pytest.raises(InvalidParameter, match="too much"):
        prepare(page(), sets, INFO)


def named(prefix: str, seed: int = 7) -> Json:
    """A file whose sampler is drawn anew for each run, and which names it in its file names."""
    return flow(
        [
            node(12, "Sample", 1, "fixed", 3, 8.0, "fast", title="Second"),
            node(2, "Sample", seed, "randomize", 20, 8.0, "fast", title="Main"),
            node(3, "SaveImage", prefix),
        ]
    )


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("%Main.seed%_%Main.steps%", "{seed}_{steps}"),
        ("%Sample.seed%", "1"),  # the first of the file, which is not the first of the prompt
        ("%No.seed%_%Main.cfg%", "%No.seed%_8.0"),
        ("plain", "plain"),
    ],
)
@pytest.mark.parametrize("fill", [None, True, False])
def test_names_of_files_follow_what_runs(prefix: str, expected: str, fill: bool | None) -> None:
    sets: list[Json] = [{"2.seed": -1, "2.steps": 5}, {"2.seed": 9, "2.steps": 6}]
    for shared in (False, True):
        found = prepare(named(prefix), sets, INFO, fill_texts=fill, shared=shared)
        for one in found:
            sampler, saver = (one.whole()[node_id]["inputs"] for node_id in ("2", "3"))
            assert saver["filename_prefix"] == expected.format(**sampler)
            assert "3.filename_prefix" not in one.params, "the next run has other ones"


def test_names_of_files_follow_seeds_that_are_drawn() -> None:
    for found in (
        prepare(named("%Main.seed%"), [{}], INFO, randomize=True)[0],
        prepare(named("%Main.seed%", -1), [{}], INFO)[0],
    ):
        drawn = found.prompt["2"]["inputs"]["seed"]
        assert drawn not in (7, -1)
        assert found.prompt["3"]["inputs"]["filename_prefix"] == str(drawn)


def test_a_name_that_is_set_is_not_the_files_any_more() -> None:
    params = {"2.steps": 5, "3.filename_prefix": "mine_%Main.steps%"}
    (found,) = prepare(named("%Main.seed%"), [params], INFO)
    assert found.prompt["3"]["inputs"]["filename_prefix"] == "mine_5"
    assert found.params["3.filename_prefix"] == "mine_5"


def test_prompts_of_a_file_are_chosen_anew_in_a_batch() -> None:
    found = prepare(page("{a|b|c|d|e|f|g|h}"), [{}] * 40, INFO)
    texts = {one.prompt["1"]["inputs"]["text"] for one in found}
    assert len(texts) > 1
    assert texts <= set("abcdefgh")
    assert all(one.params["1.text"] == one.prompt["1"]["inputs"]["text"] for one in found)


def test_the_file_in_the_results_keeps_its_names() -> None:
    workflow = named("%Main.seed%_%Main.steps%")
    (found,) = prepare(workflow, [{"2.steps": 5}], INFO)
    extra = along(
        *({}, workflow, [(found.prompt, found.changes)], INFO),
        embed=True,
        follows=found.from_templates,
    )
    assert not extra.warnings
    sent = to_send(extra.stored, found.prompt)["extra_pnginfo"]["workflow"]
    values = {one["id"]: one["widgets_values"] for one in sent["nodes"]}
    assert values[3] == ["%Main.seed%_%Main.steps%"]
    assert values[2][2] == 5


def test_values_that_names_of_files_show_are_saved() -> None:
    saved = set_params(named("%Main.steps%"), {"2.steps": 5}, INFO)
    values = {one["id"]: one["widgets_values"] for one in saved["nodes"]}
    assert (values[2][2], values[3]) == (5, ["%Main.steps%"])


@pytest.mark.parametrize("text", ["%Main.steps%", "%date:yyyy%_x", "{a|b} %date:yyyy%"])
def test_a_name_that_is_set_over_one_of_the_file_is_saved(text: str) -> None:
    saved = set_params(named(text), {"3.filename_prefix": "mine"}, INFO)
    assert saved["nodes"][2]["widgets_values"] == ["mine"]
    saved = set_params(page("{a|b} cat"), {"1.text": "a dog"}, INFO)
    assert saved["nodes"][0]["widgets_values"] == ["a dog"]
