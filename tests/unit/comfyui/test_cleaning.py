"""What a server says is cut and made sound."""

import json
import math
import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.comfyui.cleaning import cut, fitting, is_sound, number, sound_text

texts = st.text(st.characters(exclude_categories=[]), max_size=300)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)
UNFIT = re.compile("[\x00\ud800-\udfff]")


@given(values, st.integers(1, 400))
def test_what_is_cut_fits(value: Any, most: int) -> None:
    short = cut(value, most)
    assert len(short) <= most
    assert not UNFIT.search(short)
    if isinstance(value, str) and len(value) <= most and not UNFIT.search(value):
        assert short == value


@given(texts)
def test_what_is_made_sound_is_so(text: str) -> None:
    assert is_sound(text) is not bool(UNFIT.search(text))
    assert is_sound(sound_text(text))


def test_the_mark_says_how_much_there_was() -> None:
    assert cut("x" * 1000, 40) == "x" * 21 + "… [1000 characters]"


@given(values, st.integers(50, 500))
def test_json_that_fits(value: Any, room: int) -> None:
    found = json.dumps(fitting(value, room), allow_nan=False, ensure_ascii=False)
    found.encode()
    assert len(fitting(["x" * 10_000] * 1000, 1000)) < 100


@given(st.floats() | st.integers() | st.booleans() | st.none())
def test_numbers_are_finite_and_sane(value: Any) -> None:
    try:
        found = number(value)
    except (ValueError, OverflowError):
        return
    assert math.isfinite(found)
