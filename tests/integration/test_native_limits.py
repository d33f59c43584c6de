"""Limits of an API key hold for prompts of ComfyUI's own protocol, by whichever door they come."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import model_free
from tests.integration.test_native_doors import token_of
from tests.integration.test_native_errors import check
from tests.keyholders import guarded

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("limit", "word"), [("daily", "quota_exceeded"), ("queued", "key_queue_full")]
)
async def test_a_key_has_its_limits(
    settings_for: Callable[..., Settings], tmp_path: Path, limit: str, word: str
) -> None:
    """What waits and what was used today is counted over its routes, tokens and our own API."""
    keys: Json = {"alice": {"scope": "run", limit: 3}, "bob": "run"}
    async with (
        DemoServer(step_seconds=0) as demo,
        guarded(settings_for, tmp_path, demo, keys=keys) as gate,
    ):
        demo.knobs.slow = 600
        client, token = await gate.client("alice"), token_of(gate, "alice")
        below = f"/comfy/~{token}"
        full = None
        for number in range(9):
            path = (f"{below}/prompt", "/prompt", "/comfy/api/prompt")[number % 3]
            full = await client.post(path, json={"prompt": model_free(number)})
            if full.status_code != 200:
                break
        assert full is not None
        assert full.status_code == 429
        assert int(full.headers["retry-after"]) > 0
        check(full.json())
        assert full.json()["error"]["type"] == word
        own = await client.post("/api/workflow/submit", json=model_free(99))
        assert own.status_code == 429
        other = await (await gate.client("bob")).post("/prompt", json={"prompt": model_free()})
        assert other.status_code == 200
