"""What the demo may do that a gateway for real may not; what becomes of the heap of a start."""

import asyncio
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import start
from app import main
from app.container import BadSettings
from app.db.engine.errors import Unreachable
from app.errors import CannotStart
from app.settings import Settings


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
    settling = asyncio.create_task(start.Process(app, settings_for())._settle())
    try:
        await asyncio.sleep(0)
        assert gc.get_freeze_count() == 0, "node types are still to come"
        seen.set()
        await settling
        assert gc.get_freeze_count() > 0
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 80, "::zz"])
async def test_an_address_of_another_machine_is_told_by_its_setting(host: str) -> None:
    with pytest.raises(BadSettings, match=r"^Setting COMFYUI_HOST: .* is no address to listen on"):
        await start.check_host(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "localhost", ""])
async def test_an_address_of_this_machine_is_taken(host: str) -> None:
    await start.check_host(host)


@pytest.mark.parametrize("error", [Unreachable("refused\nmore"), OSError(21, "refused")])
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
