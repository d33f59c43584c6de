"""Clients of ComfyUI's own protocol, as their authors published them, do their whole job.

Each posts graphs without a model, waits in its own way and fetches its pictures, several at once.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fake_comfyui.server import DemoServer
from tests.acceptance.native.clients import CLIENTS, done_by, jobs_at

NAMES = list(CLIENTS)


@pytest.fixture
async def demos() -> AsyncIterator[list[DemoServer]]:
    """Two stand-ins that take a moment, as each ComfyUI does: some clients listen only after it
    has answered their post."""
    async with contextlib.AsyncExitStack() as stack:
        found = [await stack.enter_async_context(DemoServer(step_seconds=0)) for _ in range(2)]
        for demo in found:
            demo.knobs.slow = 0.1
        yield found


@pytest.mark.parametrize("name", NAMES)
async def test_the_driver_works_with_comfyui(
    name: str, demos: list[DemoServer], tmp_path: Path
) -> None:
    jobs = jobs_at("direct", f"http://{demos[0].address}", None, 0x123456)
    assert await done_by(CLIENTS[name], jobs, tmp_path) == {"direct-0": "ok", "direct-1": "ok"}
