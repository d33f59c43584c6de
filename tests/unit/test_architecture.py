"""Imports run one way, as ARCHITECTURE.md draws it, and files stay small."""

import ast
import re
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From top to bottom: a package may import those below it only.
LAYERS = [
    *("serving", "processes"),
    *("main", "container", "api", "gateway", "services", "metrics", "worker_figures"),
    *("checked_settings", "given_settings", "settings"),
    *("scheduler", "runner", "webhooks", "db", "events", "tasks", "servers", "workflows"),
    *(
        "redis",
        "auth",
        "outbound",
        "files",
        "comfyui",
        "base_path",
        "logs",
        "listening",
        "errors",
        "limits",
    ),
    "system",
]
FASTAPI = ("main", "api")
NO_IO = (
    "asyncio",
    "aiohttp",
    "httpx",
    "sqlalchemy",
    "websockets",
    "sockets",
    "os",
    "pathlib",
    "tempfile",
)
WITH_IO = ("library.py", "versions.py", "__init__.py")  # of workflows
MAX_LINES = 310

FILES = sorted((ROOT / "app").rglob("*.py"))
TOP = ["*.py", *(f"{top}/**/*.py" for top in ("app", "fake_comfyui", "tests", "scripts"))]
TOP += ["benchmarks/**/*.py", "examples/**/*.py"]
FAKE = sorted((ROOT / "fake_comfyui").rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def layer(path: Path) -> str:
    return path.relative_to(ROOT / "app").parts[0].removesuffix(".py")


def test_the_layers_are_complete() -> None:
    assert {layer(path) for path in FILES} - {"__init__"} == set(LAYERS)


def test_one_program_is_at_the_top() -> None:
    """What somebody tried out and left there would be shipped."""
    assert [path.name for path in ROOT.glob("*.py")] == ["start.py"]


@pytest.mark.parametrize("guide", ["ARCHITECTURE.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_files_that_are_named_exist(guide: str) -> None:
    named = set(re.findall(r"[\w./]+\.py\b", (ROOT / guide).read_text(encoding="utf-8")))
    known = [f"/{path.relative_to(ROOT)}" for top in TOP for path in sorted(ROOT.glob(top))]
    gone = {name for name in named if not any(path.endswith(f"/{name}") for path in known)}
    assert named, "it names files"
    assert not gone


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file(path: Path) -> None:
    here, used = layer(path), imports(path)
    for name in used:
        room = name.split(".")[1] if name.startswith("app.") else here
        if here in LAYERS and room in LAYERS and room != here:
            allowed = LAYERS[LAYERS.index(here) + 1 :]
            assert room in allowed, f"{here} must not import {room}"
    check_libraries(path, here, used)
    if here != "errors":  # a table of classes is no complexity
        assert lines_of(path) <= MAX_LINES, f"{lines_of(path)} lines: it wants to be two files"


def check_libraries(path: Path, here: str, used: set[str]) -> None:
    roots = {name.split(".")[0] for name in used}
    assert "fake_comfyui" not in roots
    if here not in FASTAPI:
        assert not roots & {"fastapi", "starlette"}
    if here == "tasks" or (here == "workflows" and path.name not in WITH_IO):
        assert not roots & set(NO_IO)
    if here != "comfyui":
        assert not roots & {"aiohttp", "websockets"}, "only app/comfyui speaks the protocol"
    if here != "outbound":
        assert "httpx" not in roots, "only app/outbound asks addresses that clients name"


def test_the_settings_know_nothing_of_what_they_set() -> None:
    """Their types and ranges are checked where they stand, all else by `app.checked_settings`."""
    ours = {name for name in imports(ROOT / "app/settings.py") if name.split(".")[0] == "app"}
    assert not ours


@pytest.mark.parametrize("path", FAKE, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_of_the_stand_in(path: Path) -> None:
    ours = {name.split(".")[1] for name in imports(path) if name.startswith("app.")}
    assert ours <= {"comfyui"}, "the stand-in takes the rules of ComfyUI from app/comfyui only"
    assert lines_of(path) <= MAX_LINES, f"{lines_of(path)} lines: it wants to be two files"


def lines_of(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


UNIT = ROOT / "tests" / "unit"


def modules_beside(folder: Path) -> list[str]:
    """What the tests of a folder may be named after: modules and packages of the folder in app/."""
    return [path.stem for path in folder.iterdir() if path.suffix in ("", ".py")]


@pytest.mark.parametrize("test", sorted(UNIT.glob("*/**/test_*.py")), ids=lambda path: path.name)
def test_a_test_is_where_its_module_leads(test: Path) -> None:
    """app/a/b.py -> tests/unit/a/test_b.py, or test_b_more.py."""
    named = test.stem.removeprefix("test_")
    modules = modules_beside(ROOT / "app" / test.parent.relative_to(UNIT))
    assert any(f"{named}_".startswith(f"{module}_") for module in modules)
