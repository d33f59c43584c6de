"""Values are set, or refused."""

import copy
from typing import Any

import pytest

from app.errors import InvalidParameter
from app.workflows.parameters.apply import apply_params
from app.workflows.parameters.seeds import MAX_SEED
from tests.conftest import text_to_image
from tests.unit.workflows.checks.test_prompt import INFO, SAMPLER


def test_setting_by_name() -> None:
    prompt, used = apply_params(
        text_to_image(), {"prompt": "a bear", "seed": -1, "3.steps": 9}, {}, new_seed=lambda *_: 77
    )
    assert used == {"prompt": "a bear", "seed": 77, "3.steps": 9}
    assert prompt["6"]["inputs"]["text"] == "a bear"
    assert (prompt["3"]["inputs"]["seed"], prompt["3"]["inputs"]["steps"]) == (77, 9)


def test_all_faults_in_one_answer() -> None:
    with pytest.raises(InvalidParameter) as caught:
        apply_params(text_to_image(), {"promt": "x", "steps": "many", "seed": 1}, {})
    errors = caught.value.extra["errors"]
    assert [error["field"] for error in errors] == ["promt", "steps"]
    assert "'prompt'" in errors[0]["message"]
    assert "a number" in errors[1]["message"]


Json = dict[str, Any]


def node(class_type: str, **inputs: Any) -> Json:
    return {"class_type": class_type, "inputs": inputs}


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("3.steps", 5, 5),
        ("3.steps", 5.0, 5),
        ("3.cfg", 3, 3),
        ("3.cfg", 3.5, 3.5),
        ("3.steps", " 42 ", 42),
        ("3.cfg", "6.5", 6.5),
        ("3.cfg", "1e1", 10.0),
        ("3.seed", "18446744073709551615", 2**64 - 1),
        ("9.on", "false", False),
        ("9.on", "True", True),
        ("3.sampler_name", "heun", "heun"),
        ("6.text", "", ""),
        ("9.on", False, False),
        ("8.image", "uploaded later.png", "uploaded later.png"),
        ("3.note", "optional, not in the file", "optional, not in the file"),
        ("4.name", "y", "y"),
    ],
)
def test_values_that_fit(key: str, value: Any, expected: Any) -> None:
    changed, used = apply_params(SAMPLER, {key: value}, INFO)
    node_id, name = key.split(".")
    assert changed[node_id]["inputs"][name] == expected
    assert type(changed[node_id]["inputs"][name]) is type(expected)
    assert used == {key: expected}


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("3.steps", "five", "a number"),
        ("3.steps", "5.5", "a number"),
        ("3.steps", "", "a number"),
        ("3.steps", "0", "at least 1"),
        ("3.steps", "9" * 5000, "a number"),
        ("3.cfg", "nan", "a finite number"),
        ("3.steps", True, "a number"),
        ("3.steps", float("inf"), "a finite number"),
        ("3.steps", 5.5, "a whole number"),
        ("3.steps", 0, "at least 1"),
        ("3.steps", 10001, "at most 10000"),
        ("3.seed", -2, "at least 0"),
        ("3.sampler_name", "eular", "nearest are 'euler'"),
        ("3.sampler_name", "zzz", "they are 'euler', 'heun', 'dpm_2'"),
        ("3.sampler_name", 5, "not among"),
        ("3.scheduler", None, "not among"),
        ("6.text", 5, "a string"),
        ("6.text", None, "a string"),
        ("9.on", 1, "true or false"),
        ("9.on", "yes", "true or false"),
        ("4.name", 1, "a string"),
        ("3.model", "x", "fed by node '4'"),
        ("3.stepz", 1, "Did you mean '3.steps'"),
        ("33.steps", 1, "Did you mean '3.steps'"),
        ("stepps", 1, "Did you mean 'steps'"),
        ("", 1, "no parameter ''"),
    ],
)
def test_values_that_do_not_fit(key: str, value: Any, words: str) -> None:
    before = copy.deepcopy(SAMPLER)
    with pytest.raises(InvalidParameter) as caught:
        apply_params(SAMPLER, {key: value}, INFO)
    assert words in caught.value.detail
    assert caught.value.extra["parameter"] == key
    assert before == SAMPLER


def test_a_seed_of_minus_one_is_a_random_one() -> None:
    changed, used = apply_params(SAMPLER, {"3.seed": -1}, INFO)
    assert 0 <= used["3.seed"] <= MAX_SEED
    assert changed["3"]["inputs"]["seed"] == used["3.seed"]
    seeds = {apply_params(SAMPLER, {"3.seed": -1}, INFO)[1]["3.seed"] for _ in range(5)}
    assert len(seeds) > 1


def test_so_is_one_in_the_file() -> None:
    graph = {"1": node("KSampler", seed=-1), "2": node("Other", noise_seed=-1)}
    drawn = iter([5, 6])
    changed, used = apply_params(graph, {}, INFO, new_seed=lambda *_: next(drawn))
    assert used == {"1.seed": 5, "2.noise_seed": 6}
    assert changed["2"]["inputs"]["noise_seed"] == 6


def test_where_minus_one_has_a_meaning_it_stays() -> None:
    changed, used = apply_params({"1": node("Free", seed=-1)}, {}, INFO)
    assert (changed["1"]["inputs"]["seed"], used) == (-1, {})


def test_without_object_info_the_type_must_stay() -> None:
    assert apply_params(SAMPLER, {"3.steps": 3}, {})[0]["3"]["inputs"]["steps"] == 3
    assert apply_params(SAMPLER, {"3.steps": "3"}, {})[0]["3"]["inputs"]["steps"] == 3
    with pytest.raises(InvalidParameter, match="a number"):
        apply_params(SAMPLER, {"3.steps": "x"}, {})
    with pytest.raises(InvalidParameter, match="a string"):
        apply_params(SAMPLER, {"6.text": 3}, {})


@pytest.mark.parametrize("value", [1, -1, 2])
def test_an_input_is_set_once(value: int) -> None:
    with pytest.raises(InvalidParameter, match="same input") as fault:
        apply_params(text_to_image(), {"seed": 1, "3.seed": value}, {})
    assert {"seed", "3.seed"} <= set(str(fault.value.detail).replace("'", '"').split('"'))
