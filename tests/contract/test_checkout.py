"""A clone has the same bytes on every system."""

import subprocess
from pathlib import Path

import pytest

from tests.contract.test_pages import ROOT


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def test_windows_changes_no_line_end(tmp_path: Path) -> None:
    """As git for Windows checks out: with CRLF where the attributes of a file leave it to it."""
    if not (ROOT / ".git").exists():
        pytest.skip("this is no clone")
    files = [name for name in git("ls-files", "-z").decode().split("\0") if name]
    assert len(files) > 500
    for system, settings in (
        ("windows", ("-c", "core.autocrlf=true", "-c", "core.eol=crlf")),
        ("here", ("-c", "core.autocrlf=false", "-c", "core.eol=lf")),
    ):
        git(*settings, "checkout-index", "--all", f"--prefix={tmp_path}/{system}/")
    changed = [
        name
        for name in files
        if (tmp_path / "windows" / name).read_bytes() != (tmp_path / "here" / name).read_bytes()
    ]
    assert changed == []
