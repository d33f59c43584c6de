"""Fixtures of the fault tests."""

import os
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests import services
from tests.databases import database_url
from tests.fleet import DATABASE, Chance

DATABASES = [name for name in os.environ.get("FAULTS_DATABASES", "").split(",") if name]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On SQLite, or on what FAULTS_DATABASES says; marked tests on both."""
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    kinds = DATABASES or ["sqlite", *(["postgresql"] if "both_databases" in marks else [])]
    if marks & {"only_sqlite", "only_postgresql"}:
        kinds = ["sqlite"] if "only_sqlite" in marks else ["postgresql"]
    params = [
        pytest.param(kind, marks=pytest.mark.service if kind == "postgresql" else ())
        for kind in kinds
    ]
    metafunc.parametrize("fleet_database", params, indirect=True)


@pytest.fixture(autouse=True)
async def fleet_database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """Where the gateways of a test keep their tasks, unless it says otherwise."""
    if request.param == "sqlite":
        monkeypatch.delenv(DATABASE, raising=False)
        yield ""
        return
    async with database_url(request.param, tmp_path) as url:
        monkeypatch.setenv(DATABASE, url)
        yield url


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
        subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8")
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or error
        services.absent(f"a small tmpfs cannot be mounted, which needs root: {reason}")
