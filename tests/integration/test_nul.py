"""NUL characters wherever a client can put one: PostgreSQL's texts cannot hold them."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import model_free, over
from tests.databases import KINDS, database_url

PATHS = (
    *("/api/task/a%00b", "/api/task/a%00b/workflow", "/api/task/a%00b/deliveries"),
    *("/api/batch/a%00b", "/api/image/a%00b.png", "/api/image/a.png?task_id=a%00b"),
    *("/api/image/a.png?subfolder=a%00b", "/api/tasks?batch_id=a%00b", "/api/workflow/a%00b.json"),
    *("/api/v2/jobs/a%00b", "/api/v2/assets/a%00b", "/api/servers/a%00b", "/api/nodes?search=%00"),
    *("/api/deliveries?status=%00", "/api/v2/jobs?metadata[a%00]=b%00", "/api/task/a%00b/events"),
)


@pytest.mark.parametrize("kind", KINDS)
async def test_nul_is_no_fault_of_the_database(
    kind: str, demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    async with (
        database_url(kind, tmp_path) as url,
        over(settings_for, demo, database_url=url) as gateway,
    ):
        for path in PATHS:
            answer = await gateway.http.get(path)
            assert answer.status_code < 500, (path, answer.text)
        for body in (
            {"workflow": model_free(), "metadata": {"a\0": "b\0"}},
            {"workflow": model_free(prefix="a\0b")},
            {"workflow": model_free(), "params": {"3.filename_prefix": "\0"}},
            {"workflow": model_free(), "server": "a\0b"},
            {"filename": "a\0b.json"},
            {"workflow": {**model_free(), "\0": {"class_type": "Preview\0", "inputs": {}}}},
        ):
            answer = await gateway.http.post("/api/workflow/submit", content=json.dumps(body))
            assert answer.status_code < 500, (body, answer.text)
        deleted = await gateway.http.post("/api/history/delete", json={"task_ids": ["a\0b"]})
        assert deleted.status_code in (404, 422)
        job = {"workflow": model_free(), "metadata": {"a": "b\0"}}
        assert (await gateway.http.post("/api/v2/jobs", json=job)).status_code < 500
