"""No test and no benchmark sets what is no setting."""

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from app.given_settings import REMOVED
from app.settings import Settings
from benchmarks import programs
from tests import fleet
from tests.conftest import ROOT

NO_SETTING = {"COMFYUI_API_KEY"}  # what clients call their key
ABOUT_REMOVED = (
    *("unit/test_given_settings.py", "integration/test_removed_settings.py"),
    "integration/test_cannot_start.py",
)


def test_an_unknown_name_fails(settings_for: Callable[..., Settings], tmp_path: Path) -> None:
    makers: tuple[Callable[..., object], ...] = (
        *(Settings, settings_for),
        *(partial(kind, tmp_path) for kind in (fleet.Gateway, programs.Gateway)),
    )
    for make in makers:
        make(max_attempts="2")
        with pytest.raises(AssertionError, match="max_attemps"):
            make(max_attemps="2")


def test_variables_are_settings() -> None:
    known = {f"COMFYUI_{name.upper()}" for name in Settings.model_fields}
    files = [path for folder in ("tests", "benchmarks") for path in (ROOT / folder).rglob("*.py")]
    assert len(files) > 100
    for path in files:
        words = set(re.findall(r"\bCOMFYUI_[A-Z_]+[A-Z]\b", path.read_text(encoding="utf-8")))
        allowed = set(REMOVED) if str(path).endswith(ABOUT_REMOVED) else set()
        assert words <= known | NO_SETTING | allowed, path
