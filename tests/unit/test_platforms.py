"""What works on one system only is not used where all run, in any file of ours."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT

# Of the standard library, on Linux and not on Windows: CPython 3.11.1, 3.12.1 and 3.13.2 compared.
LACKING = json.loads((ROOT / "tests/fixtures/windows_lacks.json").read_text(encoding="utf-8"))
MODULES = {*LACKING["modules"], "uvloop"}
OTHERWISE = {"os": {"kill"}}  # it is there, and ends any process
NAMES = {
    module: {*names} | OTHERWISE.get(module, set()) for module, names in LACKING["names"].items()
}
METHODS = {  # of event loops
    *("add_signal_handler", "remove_signal_handler", "create_unix_server", "add_reader"),
    *("add_writer", "create_unix_connection", "connect_read_pipe", "connect_write_pipe"),
}
OPTIONS = {  # of subprocess
    *("pass_fds", "process_group", "start_new_session", "preexec_fn", "restore_signals"),
}
# Where `start.py` does not get on Windows
ELSEWHERE = {"app/processes.py", "app/worker_figures.py"}

SHIPPED = [
    ROOT / "start.py",
    *(path for top in ("app", "fake_comfyui", "examples") for path in (ROOT / top).rglob("*.py")),
]
ALL = [
    *SHIPPED,
    *(path for top in ("tests", "scripts", "benchmarks") for path in (ROOT / top).rglob("*.py")),
]


def is_windows(test: ast.expr) -> bool:
    return ast.unparse(test) == "sys.platform == 'win32'"


def nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes but those that Windows does not get to."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "sys.platform != 'win32'":
            parts = child.orelse
        elif isinstance(child, ast.If) and is_windows(child.test):
            parts = child.body
        elif isinstance(child, ast.Try) and any(
            handler.type is not None and "Import" in ast.unparse(handler.type)
            for handler in child.handlers
        ):
            parts = [part for handler in child.handlers for part in handler.body]
        else:
            yield from nodes(child)
            continue
        for part in parts:
            yield from nodes(part)


def posix_only(source: str) -> set[str]:
    """What the source uses that Windows lacks."""
    found = set()
    for node in nodes(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] in MODULES}
        elif isinstance(node, ast.ImportFrom):
            module = str(node.module)
            if module.split(".")[0] in MODULES:
                found.add(module)
            found |= {alias.name for alias in node.names} & NAMES.get(module, set())
        elif isinstance(node, ast.Attribute):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if node.attr in NAMES.get(of, set()) | METHODS:
                found.add(f"{of}.{node.attr}")
        elif isinstance(node, ast.keyword) and node.arg in OPTIONS:
            found.add(node.arg)
    return found


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import resource", {"resource"}),
        ("from fcntl import flock", {"fcntl"}),
        ("def f():\n import uvloop", {"uvloop"}),
        ("import os\nos.nice(5)", {"os.nice"}),
        ("from os import fork", {"fork"}),
        ("os.kill(1, 0)", {"os.kill"}),
        ("signal.SIGKILL", {"signal.SIGKILL"}),
        ("loop.add_signal_handler(2, stop)", {"loop.add_signal_handler"}),
        ("Popen([], start_new_session=True)", {"start_new_session"}),
        ("if sys.platform == 'win32':\n pass\nelse:\n import fcntl", set()),
        ("if sys.platform == 'win32':\n import fcntl\nelse:\n pass", {"fcntl"}),
        ("if sys.platform != 'win32':\n import fcntl", set()),
        ("try:\n import fcntl\nexcept ImportError:\n fcntl = None", set()),
        ("getattr(os, 'O_NOFOLLOW', 0)", set()),
        ("os.replace(a, b)\nsignal.SIGTERM", set()),
    ],
)
def test_what_windows_lacks_is_noticed(source: str, found: set[str]) -> None:
    assert posix_only(source) == found


def test_what_is_shipped_runs_on_windows() -> None:
    """Each use of what it lacks has a twin: `if sys.platform == "win32": ... else: ...`."""
    used = {path.relative_to(ROOT).as_posix(): posix_only(text_of(path)) for path in SHIPPED}
    assert {path: names for path, names in used.items() if names and path not in ELSEWHERE} == {}


def text_of(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def without_encoding(source: str) -> Iterator[str]:
    """Calls that read or write text in the encoding of the system: on Windows an old one."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        options = {option.arg for option in node.keywords}
        if not options & {"encoding", None} and opens_text(node, options):
            yield ast.unparse(node)


def opens_text(call: ast.Call, options: set[str | None]) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ast.unparse(call.func)
    first = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else None
    if name in ("read_text", "write_text"):
        return len(call.args) <= ["read_text", "write_text"].index(name)
    if name in ("run", "Popen", "check_output", "check_call"):
        return bool(options & {"text", "universal_newlines"})
    if name in ("NamedTemporaryFile", "TemporaryFile"):
        return "mode" in options or bool(call.args)
    if isinstance(call.func, ast.Name) and name == "open":
        mode = call.args[1] if len(call.args) > 1 else None
        return not (isinstance(mode, ast.Constant) and "b" in mode.value)
    plain = ("r", "w", "a", "x", "r+", "w+", "a+", "rt", "wt")
    ours = ("archive.open", "library.open")  # a name is the first they take
    return name == "open" and first in plain and not ast.unparse(call.func).endswith(ours)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("path.read_text()", True),
        ("path.write_text(text)", True),
        ("path.read_text(encoding='utf-8')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("path.open('w')", True),
        ("path.open('rb')", False),
        ("run(command, text=True)", True),
        ("run(command, text=True, encoding='utf-8')", False),
        ("run(command)", False),
    ],
)
def test_text_without_an_encoding_is_noticed(source: str, found: bool) -> None:
    assert bool(list(without_encoding(source))) is found


def test_all_files_name_encodings() -> None:
    found = {str(path.relative_to(ROOT)): list(without_encoding(text_of(path))) for path in ALL}
    assert {path: calls for path, calls in found.items() if calls} == {}
