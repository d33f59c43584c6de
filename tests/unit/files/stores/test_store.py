"""Names of files: whatever a client sends, what we make of it can be used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.files.stores.store import MAX_NAME, is_plain, numbered, safe_name

NAMES = st.text(max_size=300) | st.builds(
    lambda stem, suffix: f"{stem}{suffix}",
    st.text("x ä€😀.", min_size=60, max_size=300),
    st.sampled_from(["", ".png", ".PNG", ".safetensors", ".a-long-suffix", "."]),
)


@given(NAMES, st.integers(0, 100_000))
def test_a_name_can_be_used_and_stays_as_it_is(wanted: str, number: int) -> None:
    name = numbered(safe_name(wanted), number)
    assert len(name.encode()) <= MAX_NAME
    assert is_plain(name)
    assert safe_name(name) == name
    _, dot, suffix = safe_name(wanted).rpartition(".")
    if dot and len(suffix) <= 12:
        assert name.endswith(f".{suffix}"), "loaders go by it"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\\b", "../a", "a\0", "x" * 256, "a:b"])
def test_names_that_are_none(name: str) -> None:
    assert not is_plain(name)


def test_names_of_former_rules_can_still_be_used() -> None:
    assert is_plain("x" * 176 + " (1).png")
