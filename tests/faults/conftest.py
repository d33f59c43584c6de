"""Fixtures of the fault tests."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.fleet import Chance


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Chance:
    """Random, and a failing test tells how to have the same again."""
    chance = Chance()
    request.node.add_report_section("setup", "random", str(chance))
    return chance


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str, int], Path]]:
    """Makes folders that are file systems of so many bytes; skips where that is not allowed."""
    with ExitStack() as mounted:

        def make(name: str, size: int) -> Path:
            folder = tmp_path / name
            folder.mkdir()
            mount(folder, size)
            mounted.callback(subprocess.run, ["umount", "--lazy", folder], check=True)
            return folder

        yield make


def mount(folder: Path, size: int) -> None:
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        if os.environ.get("REQUIRE_SERVICES"):
            pytest.fail(f"a small tmpfs cannot be mounted, which needs root: {reason}")
        pytest.skip(f"a small tmpfs cannot be mounted, which needs root: {reason}")
