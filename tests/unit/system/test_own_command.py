"""The line that an operator is told works where the gateway was started."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from app.system import own_command as module
from app.system.own_command import cannot_import, own_command
from tests.conftest import ROOT


@pytest.mark.posix("its shells read it otherwise")
@pytest.mark.parametrize("place", [".", "a folder", "elsewhere"])
def test_it_is_this_program_from_the_present_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    home = tmp_path / "a folder"
    (home / ".venv").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (home / ".venv" / "python").symlink_to(sys.executable)
    (home / "start.py").write_text(
        "import json, sys; print(json.dumps(sys.argv))", encoding="utf-8"
    )
    monkeypatch.setattr(sys, "executable", str(home / ".venv" / "python"))
    monkeypatch.setattr(module, "START", home / "start.py")
    monkeypatch.chdir(tmp_path / place)
    line = own_command("keys", "add", "me & you")
    if place == "a folder":
        assert line == ".venv/python start.py keys add 'me & you'"
    said = subprocess.run(["sh", "-c", line], capture_output=True, text=True, encoding="utf-8")
    assert shlex.split(line)[1:] == json.loads(said.stdout)


def test_in_powershell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(sys, "executable", "/a folder/python.exe")
    monkeypatch.chdir(ROOT)
    python = Path("/a folder/python.exe")
    assert own_command("keys", "list") == f'& "{python}" start.py keys list'


def test_what_is_missing_of_ours_is_an_error_of_ours() -> None:
    with pytest.raises(ImportError):
        cannot_import(ImportError("no", name="app.nothing"))
