"""`make test` needs no service: who asks for one says so by a marker."""

import ast
import os
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests import services
from tests.conftest import ROOT
from tests.databases import KINDS, postgresql

TESTS = ROOT / "tests"
ASKING = {"services.py", "test_tiers.py"}


def test_without_the_marker_no_program_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for before it is looked for, so that machines that have it tell of it, too."""
    monkeypatch.setattr(shutil, "which", lambda *_, **__: pytest.fail("it looked"))
    for ask in (services.program, services.find):
        with pytest.raises(pytest.fail.Exception, match="mark the test"):
            ask("bash")


async def test_without_the_marker_no_database_is_given() -> None:
    with pytest.raises(pytest.fail.Exception, match="mark the test"):
        async with postgresql():
            pass


@pytest.mark.service
def test_with_the_marker_it_is() -> None:
    assert services.program("bash") == shutil.which("bash")


@pytest.mark.parametrize(
    ("required", "outcome"), [("", pytest.skip.Exception), ("1", pytest.fail.Exception)]
)
def test_what_is_absent_skips_or_fails(
    required: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUIRE_SERVICES", required)
    with pytest.raises(outcome, match="no_such_package is not installed"):
        services.package("no_such_package")
    assert services.package("json").dumps([]) == "[]"


@pytest.mark.parametrize(
    ("folder", "markers"),
    [("browser", ["service"]), ("faults", ["slow"]), ("unit", []), ("integration", [])],
)
def test_folders_mark_their_tests(folder: str, markers: list[str]) -> None:
    given: list[str] = []
    item: Any = SimpleNamespace(
        path=TESTS / folder / "test_a.py",
        config=SimpleNamespace(rootpath=ROOT),
        add_marker=given.append,
    )
    services.mark_by_folder(item)
    assert given == markers
    assert all((TESTS / name).is_dir() for name in services.FOLDERS)


def test_postgresql_is_marked_where_tests_run_on_both() -> None:
    sqlite, on_postgresql = KINDS
    assert sqlite == "sqlite"
    assert [mark.name for mark in on_postgresql.marks] == ["service"]


def test_no_test_looks_for_itself() -> None:
    """For a program, or for a package whose absence skips it."""
    others = [path for path in TESTS.rglob("*.py") if path.name not in ASKING]
    assert [str(path) for path in others if {"which", "importorskip"} & attributes(path)] == []


def attributes(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


@pytest.mark.parametrize(
    ("arguments", "everything", "selected"),
    [([], "", True), ([], "all", False), (["tests/unit"], "", False)],
)
def test_the_tier_is_chosen_by_the_script(
    arguments: list[str], everything: str, selected: bool, tmp_path: Path
) -> None:
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin" / "python"
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {**os.environ, "VENV": str(tmp_path), "TESTS": everything}
    said = subprocess.run(
        [str(ROOT / "scripts/test"), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        encoding="utf-8",
    ).stdout.splitlines()
    assert ("not service and not slow" in said) is selected
    assert said[-len(arguments) :] == arguments or not arguments
