"""Health is cheap and always answers; readiness tells the truth."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.config import Settings
from app.demo.server import DemoServer
from app.tasks import readiness
from tests.conftest import RunningGateway, over, run_gateway, wait_until


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The database as while another program writes, for long."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


async def code_of(gateway: RunningGateway) -> str:
    answer = await gateway.http.get("/api/ready")
    assert answer.status_code in (200, 503)
    return "ready" if answer.status_code == 200 else str(answer.json()["code"])


async def test_a_database_that_cannot_be_written(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with over(settings_for, demo) as gateway:
        assert await code_of(gateway) == "ready"
        monkeypatch.setattr(gateway.gateway.readiness, "_patience", 0.2)
        with locked(tmp_path / "gateway.db"):
            assert await code_of(gateway) == "database_unavailable"
            assert await code_of(gateway) == "database_unavailable"
            began = time.monotonic()
            assert (await gateway.http.get("/api/health")).status_code == 200
            assert time.monotonic() - began < readiness.PATIENCE

        async def ready() -> bool:
            return await code_of(gateway) == "ready"

        await wait_until(ready)


async def test_without_a_server(settings_for: Callable[..., Settings]) -> None:
    async with run_gateway(settings_for("127.0.0.1:1")) as gateway:
        assert await code_of(gateway) == "no_server"
        health = await gateway.http.get("/api/health")
        assert (health.status_code, health.json()["status"]) == (200, "degraded")


async def test_a_server_that_is_drained(gateway: RunningGateway, demo: DemoServer) -> None:
    await gateway.http.post(f"/api/servers/{demo.address}/drain")
    assert await code_of(gateway) == "no_server"
    await gateway.http.post(f"/api/servers/{demo.address}/resume")
    assert await code_of(gateway) == "ready"


async def test_a_gateway_that_stops(gateway: RunningGateway) -> None:
    gateway.gateway.hub.close()
    assert await code_of(gateway) == "stopping"
    assert (await gateway.http.get("/api/health")).status_code == 200
