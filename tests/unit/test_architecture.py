"""Imports run one way, as ARCHITECTURE.md draws it, and files stay small."""

import ast
from pathlib import Path

import pytest

from tests.conftest import ROOT

# From top to bottom: a package may import those below it only.
LAYERS = [
    "main",
    "assembly",
    "connections",
    "gate",
    "routers",
    "request_log",
    "limits",
    "problems",
    "comfyui_routes",
    "envelope",
    "gateway",
    "metrics",
    "config",
    "webhooks",
    "tasks",
    "servers",
    "workflows",
    "redis",
    "remote",
    "files",
    "demo",
    "comfyui",
    "access",
    "logs",
    "workers",
    "memory",
    "v2_errors",
    "limit_errors",
    "errors",
    "quoting",
    "lengths",
    "ids",
]
NO_FASTAPI = (
    *("webhooks", "tasks", "servers", "workflows", "remote", "files", "comfyui"),
    *("access", "logs", "workers", "memory", "v2_errors", "limit_errors", "errors"),
    "quoting",
)
NO_IO = ("asyncio", "httpx", "sqlalchemy", "websockets", "sockets", "os", "pathlib", "tempfile")
MAX_LINES = 310

FILES = sorted((ROOT / "app").rglob("*.py"))


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return found


def layer(path: Path) -> str:
    return path.relative_to(ROOT / "app").parts[0].removesuffix(".py")


def test_the_layers_are_complete() -> None:
    assert {layer(path) for path in FILES} - {"__init__"} == set(LAYERS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file(path: Path) -> None:
    here, used = layer(path), imports(path)
    if here in LAYERS:
        for name in used:
            parts = name.split(".")
            if parts[0] == "app" and len(parts) > 1 and parts[1] in LAYERS and parts[1] != here:
                allowed = LAYERS[LAYERS.index(here) + 1 :]
                assert parts[1] in allowed, f"{here} must not import {parts[1]}"
    roots = {name.split(".")[0] for name in used}
    if here in NO_FASTAPI:
        assert not roots & {"fastapi", "starlette"}
    if here == "workflows" and path.name not in ("library.py", "versions.py", "__init__.py"):
        assert not roots & set(NO_IO)
    if here not in ("comfyui", "demo"):
        assert "websockets" not in roots, "only app/comfyui speaks the protocol"
    if here not in ("comfyui", "demo", "remote"):
        assert "httpx" not in roots, "only app/comfyui and app/remote speak HTTP to others"
    lines = len(path.read_text().splitlines())
    assert lines <= MAX_LINES, f"{lines} lines: it wants to be two files"
