"""node_errors of a server get their shape."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.comfyui.node_errors import sound_errors

texts = st.text(st.characters(exclude_categories=[]), max_size=300)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=20,
)


@given(values)
def test_node_errors_have_their_shape(value: Any) -> None:
    for node in sound_errors({"1": value, "2": {"errors": value}}).values():
        assert all(isinstance(fault, dict) for fault in node["errors"])
