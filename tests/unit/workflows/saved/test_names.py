"""Names of saved workflows."""

import os
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import InvalidInput
from app.files.stores.disk_names import fold
from app.workflows.saved.names import checked_name, name_for_image
from tests.unit.workflows.saved.test_library import BAD_NAMES


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_name(name)
    assert caught.value.hint
    caught.value.detail.encode()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a", "a.json"),
        ("A.JSON", "A.json"),
        ("My flow (2).v1-b_c.json", "My flow (2).v1-b_c.json"),
        ("e\u0301te\u0301", "été.json"),
        ("नमस्ते", "नमस्ते.json"),
        ("猫", "猫.json"),
        ("console", "console.json"),
        ("com10", "com10.json"),
        ("x" * 195, "x" * 195 + ".json"),
    ],
)
def test_a_good_name(name: str, kept: str) -> None:
    assert checked_name(name) == unicodedata.normalize("NFC", kept)


@given(st.text(max_size=100) | st.text("./\\ aCON:é\u0301", max_size=12))
def test_any_name_stays_in_its_folder(name: str) -> None:
    with suppress(InvalidInput):
        checked = checked_name(name)
        assert Path("/folder", checked).parent == Path("/folder")
        assert checked_name(checked) == checked
        assert fold(fold(checked)) == fold(checked)
        os.fsencode(checked)


def test_the_name_for_a_workflow_out_of_a_picture() -> None:
    assert name_for_image("a.PNG") == name_for_image("a.webp") == "a.json"
    assert name_for_image("a.json") == "a.json"
    assert name_for_image("a") == "a"
