from pathlib import Path

import pytest

from app.main import REMOVED, removed_settings
from app.settings import Settings


def test_what_is_no_setting_any_more_is_named_and_refuses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert removed_settings() == []
    monkeypatch.setenv("COMFYUI_MAX_WAIT", "no number")
    (tmp_path / ".env").write_text("comfyui_cancel_grace=5\nCOMFYUI_SLOTS=3\n", encoding="utf-8")
    assert Settings().slots == 3
    grace, wait = removed_settings()
    assert grace.startswith("COMFYUI_CANCEL_GRACE has no effect")
    assert wait.startswith("COMFYUI_MAX_WAIT has no effect")


def test_it_is_no_setting() -> None:
    assert not REMOVED.keys() & {f"COMFYUI_{name.upper()}" for name in Settings.model_fields}
