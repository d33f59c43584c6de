"""A variable that was a setting once is named as the gateway starts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import over
from tests.keyholders import guarded


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


async def test_figures_need_a_key_whatever_a_removed_setting_says(
    settings_for: Callable[..., Settings],
    demo: DemoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("COMFYUI_OPEN_METRICS", "true")
    async with guarded(settings_for, tmp_path, demo, keys={"prometheus": "read"}) as gate:
        answer = await (await gate.client()).get("/metrics")
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert (await (await gate.client("prometheus")).get("/metrics")).status_code == 200
    assert "COMFYUI_OPEN_METRICS has no effect" in caplog.text
    assert "scope read" in caplog.text
