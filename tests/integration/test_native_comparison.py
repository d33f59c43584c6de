"""A ComfyUI of two versions gives the same answers through the gateway as asked directly."""

from collections.abc import Callable

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from scripts.native_comparison.calls import compared
from scripts.native_comparison.report import section, unwanted, version_of
from tests.conftest import over


@pytest.mark.parametrize("jobs_api", [False, True], ids=["0.3.64", "0.33.0"])
async def test_answers_are_as_of_the_server_itself(
    settings_for: Callable[..., Settings], *, jobs_api: bool
) -> None:
    """tests/fixtures/comfyui/native_comparison.md tells of the real ones."""
    steps = {"step_seconds": 0.01, "preview_method": "latent2rgb"}
    async with (
        DemoServer(jobs_api=jobs_api, **steps) as demo,
        over(settings_for, demo) as gateway,
    ):
        plays = await compared(f"http://{demo.address}", f"http://{gateway.address}/comfy")
    assert version_of(plays) == ("0.33.0" if jobs_api else "0.3.64")
    assert len(plays[0]) == len(plays[1]) > 150
    assert not unwanted(plays), section(plays)
