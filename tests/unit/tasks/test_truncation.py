"""Long values are shortened, and say so."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.tasks.truncation import LIST, MAX_STREAM_BYTES, beginning, shortened

Json = dict[str, Any]


MESSAGE, PAGE, PER_PAGE = 64_000, 1_000_000, 50  # bytes, bytes, tasks


def size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode())


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=900),
    lambda inner: (
        st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=300), inner, max_size=6)
    ),
    max_leaves=60,
)


@given(st.dictionaries(st.text(max_size=200), VALUES, max_size=30))
def test_any_value(params: Json) -> None:
    view = shortened({"params": params, "metadata": params}, LIST)
    assert size(view) < LIST + 4000
    again = shortened(view, LIST)
    assert size(again) <= size(view) + 10
    if "cut" not in view:
        assert view == {"params": params, "metadata": params}


def test_a_text_that_was_cut_is_not_cut_again() -> None:
    assert beginning(beginning("x" * 900, 500), 500) == "x" * 500 + "…"
    assert MAX_STREAM_BYTES < MESSAGE
