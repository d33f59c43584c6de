"""A variable that was a setting once is named as the gateway starts."""

from collections.abc import Callable

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import over


async def test_a_start_names_it(
    settings_for: Callable[..., Settings],
    demo: DemoServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("COMFYUI_MAX_WAIT", "5")
    async with over(settings_for, demo) as gateway:
        assert (await gateway.http.get("/api/health")).status_code == 200
    assert "COMFYUI_MAX_WAIT has no effect" in caplog.text
