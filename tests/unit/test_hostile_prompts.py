"""Prompts and params of half the largest size that a body may have, or that size, made to be as
much work as can be: each is dealt with, or refused, with little work."""

import json
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from app.errors import GatewayError, InvalidParameter, InvalidWorkflow, PayloadTooLarge
from app.services.eligible_servers import _guesses, _node_errors
from app.services.prepare import to_prompt, with_params
from app.settings import Settings
from app.workflows.checks.prompt import MAX_FAULTS, check_structure
from app.workflows.embedded import PNG, extract
from app.workflows.json_text import MAX_VALUES, check_values, parse_json
from app.workflows.openapi import document
from app.workflows.parameters.apply import MAX_PARAMS, apply_params
from app.workflows.parameters.file_inputs import file_inputs
from app.workflows.parameters.names import names_of
from app.workflows.parameters.roles import roles_of
from app.workflows.references.assets import references
from app.workflows.requirements import lack_of, needs_of, shape_of
from app.workflows.saved.editing import describe
from app.workflows.saved.write_back import set_params
from tests.effort import effort
from tests.unit.workflows.conversion.official import OBJECT_INFO
from tests.unit.workflows.test_embedded import chunk

pytestmark = pytest.mark.slow

Json = dict[str, Any]

# Calls of functions, for a prompt with half as many values; most take a fourth of it.
CALLS = 15 * MAX_VALUES
MOST = Settings.model_fields["max_body_bytes"].default
NAMES = [f"model-{n:04}.safetensors" for n in range(5000)]
LOADER = {
    "input": {"required": {"ckpt_name": [NAMES], "text": ["STRING"]}},
    "output": ["MODEL"],
    "output_node": True,
}
INFO = {**OBJECT_INFO, "Loader": LOADER}


def sendable(prompt: Json) -> Json:
    text = json.dumps(prompt, separators=(",", ":")).encode()
    assert len(text) <= MOST, f"no client can send {len(text)} bytes"
    check_values(text)
    return prompt


def one(inputs: Json, class_type: str = "Gone", **more: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs, **more}


def many_names_that_are_the_same() -> Json:
    return {str(n): one({f"a{i}": 1 for i in range(15)}) for n in range(5_000)}


def a_long_title_with_many_inputs() -> Json:
    title = {"title": f"${'x' * 3_000_000} VC_BASIC"}
    return {"1": one({f"a{i}": 1 for i in range(100_000)}, _meta=title)}


def primitives_before_a_long_chain() -> Json:
    chain = {f"c{n}": one({"x": [f"c{n + 1}", 0]}) for n in range(2_000)}
    chain |= {"c2000": one({"x": ["p0", 0]})}
    values = dict.fromkeys(("value", "string", "text", "int", "float", "number"), 1)
    primitives = {f"p{n}": one(values) for n in range(2_500)}
    ends = {f"e{n}": one({"x": [f"p{n}", 0], "y": ["c0", 0]}) for n in range(450)}
    return {**chain, **primitives, **ends}


def primitives_before_a_wide_node() -> Json:
    primitives = {f"p{n}": one({"value": 1}) for n in range(2_000)}
    middle = {"m": one({f"i{n}": [f"p{n}", 0] for n in range(2_000)})}
    ends = {f"e{n}": one({f"x{i}": ["m", 0] for i in range(10)}) for n in range(2_500)}
    return {**primitives, **middle, **ends}


def links_to_nowhere() -> Json:
    return {str(n): one({f"x{i}": ["gone", 0] for i in range(7)}) for n in range(4_500)}


def a_cycle_of_all() -> Json:
    links = [{f"x{i}": [str((n + i) % 4_500), 0] for i in range(1, 8)} for n in range(4_500)]
    return {str(n): one(found) for n, found in enumerate(links)}


def a_long_id_with_many_inputs() -> Json:
    return {"x" * 2_000_000: one({f"a{i}": 1 for i in range(100_000)})}


def many_model_files() -> Json:
    return {
        str(n): one({"ckpt_name": f"none-{n}.safetensors", "text": f"{n}.ckpt"}, "Loader")
        for n in range(5_000)
    }


def many_choices() -> Json:
    return {str(n): one({"ckpt_name": NAMES[0]}, "Loader") for n in range(5_000)}


def seeds_that_are_open() -> Json:
    return {str(n): one({"seed": -1, "noise_seed": -1}) for n in range(5_000)}


PROMPTS: list[Callable[[], Json]] = [
    many_names_that_are_the_same,
    a_long_title_with_many_inputs,
    primitives_before_a_long_chain,
    primitives_before_a_wide_node,
    links_to_nowhere,
    a_cycle_of_all,
    a_long_id_with_many_inputs,
    many_model_files,
    many_choices,
    seeds_that_are_open,
]
WRONG: dict[str, Any] = {
    "near words": [f"some_inptu_{n}x" for n in range(MAX_PARAMS)],
    "long words": [f"{'a' * 7_000}{n}" for n in range(MAX_PARAMS)],
    "keys": [f"{n}.wrong" for n in range(MAX_PARAMS)],
    "too many": [f"w{n}" for n in range(100_000)],
    "no words": ["." * n for n in range(MAX_PARAMS)],
}


@pytest.mark.parametrize("made", PROMPTS, ids=lambda made: made.__name__)
def test_a_prompt_is_described_with_little_work(made: Callable[[], Json]) -> None:
    prompt = sendable(made())
    with effort(CALLS), suppress(InvalidWorkflow):
        shown = describe(prompt, INFO)
        answer = document("x", "1", "/x", shown.parameters)
        assert len(json.dumps(answer)) < 3 * MOST


@pytest.mark.parametrize("made", PROMPTS, ids=lambda made: made.__name__)
def test_a_prompt_is_checked_and_set_with_little_work(made: Callable[[], Json]) -> None:
    prompt = sendable(made())
    with effort(CALLS), suppress(InvalidWorkflow):
        found = to_prompt(prompt, INFO)
        with_params(found, {f"{n}.seed": -1 for n in range(MAX_PARAMS)}, INFO)
    with effort(CALLS), suppress(InvalidWorkflow):
        file_inputs(to_prompt(prompt, INFO).prompt, [f"w{n}" for n in range(100_000)], INFO)


@pytest.mark.parametrize("made", [many_model_files, many_choices, many_names_that_are_the_same])
def test_what_is_lacking_is_told_with_little_work(made: Callable[[], Json]) -> None:
    prompt = sendable(made())
    with effort(CALLS):
        lack = lack_of(needs_of(prompt), INFO)
        shape_of(prompt)
        text = f"{lack}{_node_errors(prompt, lack)}{_guesses(lack, [])}"
    assert len(text) < MOST  # and all of an error is cut on its way out


@pytest.mark.parametrize("words", WRONG.values(), ids=WRONG.keys())
def test_wrong_params_are_told_with_little_work(words: list[str]) -> None:
    inputs = {str(n): one({f"some_input_{n}": n, "y": 1}) for n in range(5_000)}
    prompt = sendable(inputs)
    with effort(CALLS), pytest.raises(InvalidParameter) as caught:
        apply_params(prompt, dict.fromkeys(words, 1), INFO)
    assert len(caught.value.detail) < 10_000


def test_the_first_faults_are_told_and_the_others_counted() -> None:
    prompt = {"1": one({"text": "a", "prompt": "b"})}
    with pytest.raises(InvalidParameter, match=r"80 more have faults\.") as caught:
        apply_params(prompt, {f"promtp{n}": 1 for n in range(100)}, INFO)
    assert len(caught.value.extra["errors"]) == MAX_FAULTS
    assert caught.value.detail.count("Did you mean") == 5
    with pytest.raises(InvalidWorkflow, match=r"\(4499 more nodes have faults\)") as refused:
        check_structure(links_to_nowhere())
    assert len(refused.value.extra["node_errors"]) == MAX_FAULTS


def test_wrong_choices_are_told_with_little_work() -> None:
    prompt = {str(n): one({"ckpt_name": NAMES[0]}, "Loader") for n in range(5_000)}
    params = {f"{n}.ckpt_name": f"model-{n}.safetensor" for n in range(MAX_PARAMS)}
    with effort(2 * CALLS), pytest.raises(InvalidParameter, match="nearest are"):
        apply_params(prompt, params, INFO)


def test_values_of_a_file_are_set_with_little_work() -> None:
    """Each stands in thousands of places, of which none is on the node itself."""
    nodes = [
        {"id": n, "type": "EmptyImage", "widgets_values": [64, 64, 1, 0]} for n in range(1_000)
    ]
    nodes += [{"id": 9_000 + n, "type": "Note", "widgets_values": [77] * 50} for n in range(1_000)]
    params = {f"{n}.batch_size": 77 for n in range(MAX_PARAMS)}
    with effort(4 * CALLS), pytest.raises(InvalidParameter, match="too many tries"):
        set_params({"nodes": nodes, "links": []}, params, INFO)


def test_the_values_of_a_text_are_counted_before_they_are_made() -> None:
    allowed = f"[{','.join(['0'] * (MAX_VALUES - 1))}]".encode()
    assert len(parse_json(allowed)) == MAX_VALUES - 1
    strings = b"[" + b",".join([b'"a,[{"'] * (MAX_VALUES // 4)) + b"]"  # what is in them is none
    assert len(parse_json(strings)) == MAX_VALUES // 4
    for body in (b"[" + b"[]," * 2_000_000 + b"[]]", b'{"a":' * 300_000, b"[0,0," + allowed[1:]):
        with effort(2 * MAX_VALUES), pytest.raises(PayloadTooLarge, match=str(MAX_VALUES)):
            parse_json(body)
    for odd in (b'"' * 4_000_000, b'"\\' * 2_000_000, b'"' + b"," * 300_000 + b'"' + b'"' * 10**6):
        with effort(100), suppress(GatewayError):
            parse_json(odd)


def test_a_text_in_a_picture_is_no_larger_than_a_body() -> None:
    packed = zlib.compress(b'{"nodes":[' + b"[]," * 2_000_000 + b"[]]}")
    picture = PNG + chunk(b"zTXt", b"workflow\0\0" + packed)
    with effort(2 * MAX_VALUES), pytest.raises(PayloadTooLarge):
        extract(picture)


def test_references_are_found_with_little_work() -> None:
    value: Any = [{"__type": "core/ASSET", "info": {"id": "x"}}] * 40_000
    for _ in range(90):
        value = [value]
    with effort(CALLS):
        assert len(list(references(value))) == 40_000


def test_a_name_that_is_taken_gets_the_lowest_number_that_is_free() -> None:
    prompt = {str(n): one({"a": 1}, "Same") for n in range(3)}
    prompt |= {"3": one({"same_a_3": 1}), "4": one({"a": 1}, "Same"), "5": one({"a": 1}, "Same")}
    names = names_of(prompt, roles_of(prompt))
    assert list(names.values()) == ["a", "same_a", "same_a_2", "same_a_3", "same_a_4", "same_a_5"]
