from pathlib import Path

import pytest

from app.errors import BadSettings
from app.given_settings import REMOVED, read_settings, without_effect
from app.settings import Settings

FIELDS = [f"COMFYUI_{name.upper()}" for name in Settings.model_fields]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The present one, in which .env is looked for."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_no_setting_any_more_is_named_and_refuses_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert without_effect() == []
    monkeypatch.setenv("COMFYUI_MAX_WAIT", "no number")
    (folder / ".env").write_text("comfyui_cancel_grace=5\nCOMFYUI_SLOTS=3\n", encoding="utf-8")
    assert Settings().slots == 3
    grace, wait = without_effect()
    assert grace.startswith("COMFYUI_CANCEL_GRACE has no effect")
    assert wait.startswith("COMFYUI_MAX_WAIT has no effect")


def test_it_is_no_setting() -> None:
    assert not REMOVED.keys() & {f"COMFYUI_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_of_settings_as_windows_writes_it(folder: Path, mark: bytes, end: str) -> None:
    lines = [
        "COMFYUI_MAX_WAIT=5",
        r"COMFYUI_OUTPUTS_DIR=C:\comfy\new\out",
        r"COMFYUI_UPLOADS_DIR='D:\Eigene Dateien\neu'",
        r"COMFYUI_DATABASE_URL=sqlite:///C:\comfy\gateway.db",
        "COMFYUI_WORKFLOWS_DIR=工作流",
    ]
    (folder / ".env").write_bytes(mark + "".join(line + end for line in lines).encode())
    settings = Settings()
    assert str(settings.outputs_dir) == r"C:\comfy\new\out"
    assert str(settings.uploads_dir) == r"D:\Eigene Dateien\neu"
    assert str(settings.workflows_dir) == "工作流"
    assert settings.database_url.get_secret_value() == r"sqlite:///C:\comfy\gateway.db"
    assert len(without_effect()) == 1


@pytest.mark.parametrize("name", FIELDS)
def test_an_empty_text_is_the_default(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    default = read_settings()
    (folder / ".env").write_text(f"{name}=\n", encoding="utf-8")
    assert read_settings() == default
    monkeypatch.setenv(name, "")
    assert read_settings() == default
    assert without_effect() == []


@pytest.mark.parametrize(
    ("misspelled", "meant"),
    [
        ("slot", "slots"),
        ("SERVERS", "comfyui_server"),
        ("comfyui_servers", "comfyui_server"),
        ("CORS_ORIGIN", "cors_origins"),
    ],
)
def test_a_misspelled_name_is_told_with_the_one_that_is_meant(
    folder: Path, monkeypatch: pytest.MonkeyPatch, misspelled: str, meant: str
) -> None:
    name = f"COMFYUI_{misspelled}"
    monkeypatch.setenv(name, "1")
    (found,) = without_effect()
    assert found.startswith(f"{name.upper()} in the environment has no effect")
    (folder / ".env").write_text(f"{name}=1\n", encoding="utf-8")
    (found,) = without_effect()
    assert found.startswith(f"{name.upper()} in .env has no effect")
    assert found.endswith(f"Did you mean COMFYUI_{meant.upper()}?")


def test_variables_of_others_are_theirs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"COMFYUI_{name}" for name in ("API_KEY", "PATH", "MODELS_DIR", "URL")]
    for name in names:
        monkeypatch.setenv(name, "theirs")
    assert without_effect() == []
    lines = [f"{name}=ours" for name in [*names, "GATEWAY_PORT"]]
    (folder / ".env").write_text("\n".join(lines), encoding="utf-8")
    key, *more = without_effect()
    assert key.endswith("Did you mean COMFYUI_API_KEYS?")
    assert len(more) == len(names) - 1


def test_a_line_that_sets_nothing_is_told_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [
        "# all",
        "",
        "COMFYUI_PORT 81",
        "",
        "",
        "COMFYUI_SLOTS",
        "their own",
        "COMFYUI_PORT=82",
    ]
    (folder / ".env").write_text("\n".join(lines), encoding="utf-8")
    assert read_settings().port == 82
    found = without_effect()
    assert [line.partition(" has")[0] for line in found] == [
        f"Line {number} of .env" for number in (3, 6, 7)
    ]
    assert not caplog.records


@pytest.mark.parametrize(
    "content",
    [
        "COMFYUI_PORT=82\n".encode("utf-16"),
        "COMFYUI_PORT=82\n".encode("utf-16-le"),
        b"A=1\n" + "COMFYUI_PORT=82\n".encode("utf-16-le"),  # `>>` of PowerShell 5.1
        "COMFYUI_OUTPUTS_DIR=é\n".encode("latin-1"),
    ],
)
def test_what_is_no_text_is_refused_with_the_remedy(folder: Path, content: bytes) -> None:
    (folder / ".env").write_bytes(content)
    with pytest.raises(BadSettings, match=r"^The file \.env .* Save it as UTF-8\.$"):
        read_settings()


def test_a_folder_in_place_of_the_file_is_refused(folder: Path) -> None:
    (folder / ".env").mkdir()
    with pytest.raises(BadSettings, match=r"^The file \.env cannot be read: it is a folder"):
        read_settings()
