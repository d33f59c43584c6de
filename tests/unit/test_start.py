"""What the demo may do that a gateway for real may not; what becomes of the heap of a start."""

import asyncio
import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

import start
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
