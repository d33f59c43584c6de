"""Every route does what the OpenAPI document says, whatever is sent, and what is refused leaves
nothing behind. FUZZ_SECONDS=600 is the long run; Comfy API v2 has a short one of its own.
FUZZ_DATABASE=postgresql runs it on that, and FUZZ_SCOPE=run with an API key of that scope."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from app.api.routers import submit
from app.db.tasks import TaskRepository
from app.logs import current_request
from app.metrics import Metrics
from app.settings import Settings
from app.tasks.model import NewTask, Task
from fake_comfyui.server import DemoServer
from tests.conftest import over
from tests.databases import database_url
from tests.fuzz import fuzz
from tests.keyholders import write_keys

LONG = "FUZZ_SECONDS" in os.environ
PATHS = "^/" if LONG else "^(?!/api/v2)"


DATABASE = os.environ.get("FUZZ_DATABASE", "sqlite")
SCOPE = os.environ.get("FUZZ_SCOPE", "")


@pytest.mark.slow
@pytest.mark.service  # with FUZZ_DATABASE=postgresql
async def test_whatever_is_sent(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    queued: set[str | None] = set()
    refused: set[str | None] = set()
    failed: set[tuple[str, str]] = set()
    add, request = TaskRepository.add, Metrics.request

    async def watched_add(self: TaskRepository, new: Sequence[NewTask], *more: Any) -> list[Task]:
        tasks = await add(self, new, *more)
        queued.add(current_request.get())
        return tasks

    def watched_request(self: Metrics, method: str, route: str, status: int, *more: Any) -> None:
        if status >= 400:
            refused.add(current_request.get())
        if status == 500:
            failed.add((method, route))
        request(self, method, route, status, *more)

    monkeypatch.setattr(TaskRepository, "add", watched_add)
    monkeypatch.setattr(Metrics, "request", watched_request)
    monkeypatch.setattr(submit, "MAX_WAIT", 0.2)
    limits: dict[str, Any] = {"max_queued": 100_000}
    options = [f"--include-path-regex={PATHS}"]
    if SCOPE:
        texts = write_keys(tmp_path / "keys.json", fuzz=SCOPE)
        limits["api_keys"] = str(tmp_path / "keys.json")
        # Both: where one is missing it would come with a key of its own beside ours.
        options.append(f"--header=Authorization: Bearer {texts['fuzz']}")
        options.append(f"--header=X-API-Key: {texts['fuzz']}")
    async with (
        database_url(DATABASE, tmp_path) as url,
        over(settings_for, demo, database_url=url, **limits) as gateway,
    ):
        await fuzz(gateway.address, *options)
        assert (await gateway.http.get("/api/health")).status_code == 200
    assert not failed
    assert queued
    assert refused
    assert not queued & refused
