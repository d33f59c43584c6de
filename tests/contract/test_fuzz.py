"""Every route does what the OpenAPI document says, whatever is sent, and what is refused leaves
nothing behind. FUZZ_SECONDS=600 is the long run; Comfy API v2 has a short one of its own."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from app.config import Settings
from app.demo.server import DemoServer
from app.logs import current_request
from app.metrics import Metrics
from app.tasks.model import NewTask, Task
from app.tasks.store import TaskStore
from tests.conftest import over
from tests.fuzz import fuzz

LONG = "FUZZ_SECONDS" in os.environ
PATHS = "^/" if LONG else "^(?!/api/v2)"


async def test_whatever_is_sent(
    demo: DemoServer, settings_for: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    queued: set[str | None] = set()
    refused: set[str | None] = set()
    add, request = TaskStore.add, Metrics.request

    async def watched_add(self: TaskStore, new: Sequence[NewTask], *more: Any) -> list[Task]:
        tasks = await add(self, new, *more)
        queued.add(current_request.get())
        return tasks

    def watched_request(self: Metrics, method: str, route: str, status: int, *more: Any) -> None:
        if status >= 400:
            refused.add(current_request.get())
        request(self, method, route, status, *more)

    monkeypatch.setattr(TaskStore, "add", watched_add)
    monkeypatch.setattr(Metrics, "request", watched_request)
    limits = {"max_queued": 100_000, "max_wait": 0.2}
    async with over(settings_for, demo, **limits) as gateway:
        await fuzz(gateway.address, f"--include-path-regex={PATHS}")
        assert (await gateway.http.get("/api/health")).status_code == 200
    assert queued
    assert refused
    assert not queued & refused
