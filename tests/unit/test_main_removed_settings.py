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


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_settings_as_windows_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mark: bytes, end: str
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [
        "COMFYUI_MAX_WAIT=5",
        r"COMFYUI_OUTPUTS_DIR=C:\comfy\new\out",
        r"COMFYUI_UPLOADS_DIR='D:\Eigene Dateien\neu'",
        r"COMFYUI_DATABASE_URL=sqlite:///C:\comfy\gateway.db",
        "COMFYUI_WORKFLOWS_DIR=工作流",
    ]
    (tmp_path / ".env").write_bytes(mark + "".join(line + end for line in lines).encode())
    settings = Settings()
    assert str(settings.outputs_dir) == r"C:\comfy\new\out"
    assert str(settings.uploads_dir) == r"D:\Eigene Dateien\neu"
    assert str(settings.workflows_dir) == "工作流"
    assert settings.database_url.get_secret_value() == r"sqlite:///C:\comfy\gateway.db"
    assert len(removed_settings()) == 1
