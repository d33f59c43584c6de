"""Tests are collected, and skip with a reason, where the optional packages are not installed."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.conftest import ROOT

FOLDERS = ("app", "benchmarks", "fake_comfyui", "tests")
DISTRIBUTION = re.compile(r"([A-Za-z0-9_-]+)(?:\[([a-z0-9,-]+)\])?")


def optional_packages() -> set[str]:
    """What requirements-cluster.txt names, as it is imported; extras of them, too."""
    text = (ROOT / "requirements-cluster.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    found = [DISTRIBUTION.match(line) for line in lines]
    names = [name for match in found if match for name in match.groups() if name]
    return {part.replace("-", "_") for name in names for part in name.split(",")}


def imported(node: ast.AST) -> Iterator[str]:
    """What it imports when it runs: not in functions, nor for type checks alone."""
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module=str(module), names=names, level=0):
            yield from (module, *(f"{module}.{alias.name}" for alias in names))
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            pass
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=orelse):
            for statement in orelse:
                yield from imported(statement)
        case _:
            for child in ast.iter_child_nodes(node):
                yield from imported(child)


@cache
def imports_of_ours() -> dict[str, set[str]]:
    """By the name of each module, what it imports when it is imported."""
    found: dict[str, set[str]] = {}
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    return found


def needing(packages: set[str], imports: dict[str, set[str]]) -> set[str]:
    """The modules that cannot be imported without one of the packages."""
    found: set[str] = set()
    while more := {
        name
        for name, wanted in imports.items()
        if name not in found
        and any(each in found or each.partition(".")[0] in packages for each in wanted)
    }:
        found |= more
    return found


def test_no_test_module_imports_what_may_be_absent() -> None:
    """Neither itself nor by a module of ours. A test gets it by `services.package`, and imports
    what needs it where it uses it."""
    packages = optional_packages()
    assert packages >= {"asyncpg", "redis", "hiredis", "obstore", "av"}
    found = needing(packages, imports_of_ours())
    assert "app.events.redis_bus" in found
    assert sorted(name for name in found if name.startswith("tests.")) == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("import redis.asyncio", True),
        ("from redis.exceptions import RedisError", True),
        ("from app.events import redis_bus", True),
        ("if True:\n    import redis", True),
        ("try:\n    import redis\nexcept ImportError:\n    pass", True),
        ("class A:\n    import redis", True),
        ("class A:\n    def test(self):\n        import redis", False),
        ("def test():\n    import redis", False),
        ("if TYPE_CHECKING:\n    import redis", False),
        ("from app.redis import connect", False),
        ("from tests import redis_server", False),
    ],
)
def test_what_counts_as_an_import(text: str, is_found: bool) -> None:
    ours = {**imports_of_ours(), "tests.new": set(imported(ast.parse(text)))}
    assert ("tests.new" in needing({"redis"}, ours)) is is_found
