"""What servers say, made fit to be stored."""

import json
import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comfyui import wire
from app.comfyui.cleaning import cut, fitting, is_sound, number, sound_text
from app.comfyui.node_errors import sound_errors
from app.limits import text_lengths as lengths
from app.runner.paid_node_keys import ApiKeys
from app.tasks.model import NewTask, Task

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


@given(values)
def test_json_of_a_server_is_sound(value: Any) -> None:
    read = wire.loads(json.dumps(value))
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()
    assert "\\u0000" not in json.dumps(read).replace("\\\\", "")


def test_bytes_that_are_half_a_character() -> None:
    assert wire.loads(b'"a\xed\xa0\x80b"') == "a\ufffdb"
    with pytest.raises(ValueError, match="nested too deep"):
        wire.loads("[" * 100_000)


@given(values)
def test_node_errors_have_their_shape(value: Any) -> None:
    for node in sound_errors({"1": value, "2": {"errors": value}}).values():
        assert all(isinstance(fault, dict) for fault in node["errors"])


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


@pytest.mark.parametrize("shown", range(4, 24))
def test_a_key_is_hidden_where_a_text_was_cut(shown: int) -> None:
    key = "comfyui-0123456789abcdef"
    said = cut("x" * (lengths.MESSAGE - 22 - shown) + key + "y" * 100, lengths.MESSAGE)
    keys = ApiKeys()
    with keys.queueing([NewTask("1", {}, needs_key=True, secrets={"api_key_comfy_org": key})]):
        pass
    task = Task(
        **dict.fromkeys(Task.__dataclass_fields__)  # type: ignore[arg-type]
        | {"task_id": "1", "needs_key": True}
    )
    assert key[:5] not in keys.hidden(task, said)
