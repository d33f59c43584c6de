"""JSON of a server is made sound."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.comfyui import wire

texts = st.text(st.characters(exclude_categories=[]), max_size=300)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_json_of_a_server_is_sound(value: Any) -> None:
    read = wire.loads(json.dumps(value))
    json.dumps(read, allow_nan=False, ensure_ascii=False).encode()
    assert "\\u0000" not in json.dumps(read).replace("\\\\", "")


def test_bytes_that_are_half_a_character() -> None:
    assert wire.loads(b'"a\xed\xa0\x80b"') == "a\ufffdb"
    with pytest.raises(ValueError, match="nested too deep"):
        wire.loads("[" * 100_000)
