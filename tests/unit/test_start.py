"""What the demo may do that a gateway for real may not; what becomes of the heap of a start."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import start
from app import main, serving
from app.api.uvicorn_server import GatewayServer
from app.db.engine.errors import Unreachable
from app.errors import CannotStart, InvalidInput
from app.settings import Settings
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("host", "given", "allowed"),
    [
        ("127.0.0.1", [], list(start.LOOPBACK)),
        ("0.0.0.0", [], []),
        ("127.0.0.1", ["10.0.0.0/8"], ["10.0.0.0/8"]),
    ],
)
def test_the_demo_may_call_this_machine_if_nobody_else_reaches_it(
    host: str, given: list[str], allowed: list[str]
) -> None:
    settings = Settings(_env_file=None, host=host, allow_private_urls=given)
    changes = start._demo_settings(settings, "127.0.0.1:8188")
    assert changes["allow_private_urls"] == allowed
    assert changes["comfyui_server"] == ["http://127.0.0.1:8188"]


async def test_what_a_start_makes_is_left_alone_by_collections(
    settings_for: Callable[..., Settings],
) -> None:
    seen = asyncio.Event()
    pool = [SimpleNamespace(seen=seen)]
    app: Any = SimpleNamespace(state=SimpleNamespace(gateway=SimpleNamespace(pool=pool)))
    settling = asyncio.create_task(serving.Process(app, settings_for())._settle())
    try:
        await asyncio.sleep(0)
        assert gc.get_freeze_count() == 0, "node types are still to come"
        seen.set()
        await settling
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


async def test_garbage_is_collected_once_a_start_is_done(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def startup(server: Any, sockets: Any) -> None:
        server.should_exit = True
        assert not gc.isenabled()

    monkeypatch.setattr(GatewayServer, "startup", startup)
    gc.disable()
    try:
        await serving.Process(main.create_app(settings_for()), settings_for()).startup()
        assert gc.isenabled()
        assert gc.get_freeze_count() > 0, "the first collection would look at all of it"
    finally:
        gc.enable()
        gc.unfreeze()


def test_no_garbage_is_looked_for_during_a_start(monkeypatch: pytest.MonkeyPatch) -> None:
    was_enabled = []

    async def serve(settings: Settings, listeners: Any, *, demo: bool) -> None:
        was_enabled.append(gc.isenabled())

    monkeypatch.setattr(start, "serve", serve)
    monkeypatch.setattr(start, "raise_file_limit", lambda: None)
    monkeypatch.setattr(start.logs, "configure", lambda *_: None)
    try:
        start.run(start.parse_args(["--port", "0"]))
    finally:
        gc.enable()
    assert was_enabled == [False]


@pytest.mark.parametrize(
    "error",
    [
        Unreachable("refused\nmore"),
        OSError(21, "refused"),
        InvalidInput("It is too old.", hint="refused"),
    ],
)
async def test_a_database_that_is_away_is_told_in_one_line(
    settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def away(url: str) -> None:
        raise error

    monkeypatch.setattr(main, "open_database", away)
    with pytest.raises(CannotStart) as refused:
        async with main.running(settings_for()):
            pass
    said = str(refused.value)
    assert said.startswith("Setting COMFYUI_DATABASE_URL cannot be used: ")
    assert (said.endswith("refused"), "\n" in said) == (True, False)


def imported_by(module: str) -> set[str]:
    """All modules that are there after its import, in a process of its own."""
    code = f"import sys, {module}; print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=ROOT, encoding="utf-8"
    )
    return set(done.stdout.split())


def test_the_command_line_imports_no_gateway() -> None:
    """So help, keys and the parent of workers are there at once, and the latter is small."""
    heavy = {"app.main", "app.container", "fastapi", "sqlalchemy", "httpx", "aiohttp", "uvicorn"}
    assert not imported_by("start") & heavy


def test_a_gateway_imports_what_it_needs() -> None:
    """Not what only another process, a migration or an option needs: each costs time at a start."""
    heavy = {"PIL", "alembic", "av", "redis", "asyncpg", "obstore", "fake_comfyui"}
    found = imported_by("app.serving")
    assert "app.main" in found
    assert not found & heavy
