"""Comfy API v2 does what the OpenAPI document of the gateway says of it, whatever is sent."""

from collections.abc import Callable

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import over
from tests.fuzz import fuzz


@pytest.mark.slow
async def test_whatever_is_sent(demo: DemoServer, settings_for: Callable[..., Settings]) -> None:
    async with over(settings_for, demo, max_queued=100_000) as gateway:
        await fuzz(gateway.address, "--include-path-regex=^/api/v2/")
