"""Choices in texts; `choose` is given, so that the answers are known."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.workflows.conversion.dynamic_prompts import choose_texts
from tests.unit.workflows.conversion.graphs import flow, inputs_of, node


def last(options: Sequence[str]) -> str:
    return options[-1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {red|green} car", "a green car"),
        ("{a|{b|c} d}", "c d"),
        ("{a|b", "b"),
        ("one {only}", "one only"),
        (r"\{a\|b\} and {x|y\|z}", "{a|b} and y|z"),
        ("a // note\nb /* c\nd */ e", "a \nb  e"),
        ("lone } and |", "lone } and |"),
        ("", ""),
    ],
)
def test_groups_become_a_choice(text: str, expected: str) -> None:
    assert choose_texts(text, last) == expected


def test_only_where_the_input_says_so() -> None:
    info = {"A": {"input": {"required": {"plain": ["STRING", {"multiline": True}]}}}}
    workflow = flow([node(1, "Encode", "{a|b}"), node(2, "A", "{a|b}")])
    assert inputs_of(workflow, "1", info, choose=last) == {"text": "b"}
    assert inputs_of(workflow, "2", info, choose=last) == {"plain": "{a|b}"}


@given(st.text(alphabet="ab{}|\\/*\n"))
def test_any_text_is_taken(text: str) -> None:
    choose_texts(text, last)
