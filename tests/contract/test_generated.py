"""Files that are made out of the code are what the code makes now."""

import pytest

from app.settings import Settings
from scripts.docs.files import GENERATED, ROOT
from scripts.docs.settings import page as settings_page


@pytest.mark.parametrize("name", GENERATED)
def test_it_is_what_the_code_makes(name: str) -> None:
    written = (ROOT / name).read_text(encoding="utf-8")
    assert written == GENERATED[name](), f"{name}: run .venv/bin/python -m scripts.docs"


def test_each_setting_is_a_row_with_what_it_means() -> None:
    rows = settings_page().splitlines()
    for name, field in Settings.model_fields.items():
        [row] = [row for row in rows if row.startswith(f"| `COMFYUI_{name.upper()}` |")]
        assert str(field.description) in row
