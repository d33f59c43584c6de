"""Names on a disk of Windows: each key has one that can be held there, and it tells the key."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.files.stores.disk_names import STORED, is_device, key_of, stored_key
from app.files.stores.sharing import long_form

NAMES = st.text(min_size=1, max_size=40).filter(lambda name: "/" not in name) | st.sampled_from(
    ["aux.png", "CON", "nul.", "COM1.txt", "com¹", "CONIN$", "a:b.png", "C:x", "a.", "a ", "PLA~1"]
)
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
CANNOT = re.compile(r'[<>:"|?*\\\x00-\x1f]')


@given(KEYS)
def test_a_key_is_told_by_its_stored_name(key: str) -> None:
    stored = stored_key(key)
    assert key_of(stored) == key
    for name in stored.split("/"):
        if name not in (".", ".."):
            assert not CANNOT.search(name)
            assert not is_device(name)
            assert not re.search(r"[. ]\Z|~\d", name)


@given(KEYS, KEYS)
def test_two_keys_have_two_stored_names(one: str, other: str) -> None:
    assert (stored_key(one) == stored_key(other)) == (one == other)


@pytest.mark.parametrize(
    "key",
    [
        "task/ComfyUI_00001_.png",
        ".views/task/a.png/1f.webp",
        ".keys/me/.in-a/b c (1).png",
        ".placing",
        "..",
        "100%.png",
        "con_1.png",
        "~.png",
    ],
)
def test_most_names_are_stored_as_they_are(key: str) -> None:
    assert stored_key(key) == key


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        ("aux.png", "aux.png"),
        ("a:b%.png", "a%3Ab%25.png"),
        ("a.", "a%2E"),
        ("PLACIN~1", "PLACIN%7E1"),
        (".as-a", ".as-a"),
    ],
)
def test_others_are_encoded(name: str, stored: str) -> None:
    assert stored_key(f"task/{name}") == f"task/{STORED}{stored}"


@pytest.mark.parametrize(
    ("name", "device"),
    [
        *(("aux", True), ("AUX.tar.gz", True), ("nul ", True), ("com¹.png", True)),
        *(("CONIN$", True), ("lpt9:x", True), ("auxiliary", False), (".aux", False), ("", False)),
    ],
)
def test_devices(name: str, device: bool) -> None:
    assert is_device(name) == device


@pytest.mark.parametrize(
    ("path", "long"),
    [
        ("C:\\a\\b", "\\\\?\\C:\\a\\b"),
        ("\\\\server\\share\\a", "\\\\?\\UNC\\server\\share\\a"),
        ("\\\\?\\C:\\a", "\\\\?\\C:\\a"),
        ("\\\\?\\UNC\\server\\share", "\\\\?\\UNC\\server\\share"),
        ("/home/me", "/home/me"),
    ],
)
def test_long_forms(path: str, long: str) -> None:
    assert long_form(path) == long
