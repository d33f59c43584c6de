"""Health is cheap and always answers; readiness tells the truth."""

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.db.engine import health as readiness
from app.db.engine.health import WritableStores
from app.errors import NoRoom, StorageUnavailable
from app.files.stores.local import try_to_write
from app.settings import Settings
from fake_comfyui.server import DemoServer
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
        monkeypatch.setattr(readiness, "WRITE_TIMEOUT", 0.2)
        with locked(tmp_path / "gateway.db"):
            assert await code_of(gateway) == "database_unavailable"
            assert await code_of(gateway) == "database_unavailable"
            monkeypatch.setattr(readiness, "WRITE_TIMEOUT", 60.0)
            asking = asyncio.create_task(code_of(gateway))
            assert (await gateway.http.get("/api/health")).status_code == 200
            assert not asking.done(), "health has waited for the database"
        assert await asking == "ready"

        async def ready() -> bool:
            return await code_of(gateway) == "ready"

        await wait_until(ready)


class Place:
    """Somewhere to write, and how that ends."""

    def __init__(self) -> None:
        self.tried = 0
        self.error: Exception | None = None
        self.goes_on = asyncio.Event()
        self.goes_on.set()

    async def check(self) -> None:
        self.tried += 1
        await self.goes_on.wait()
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NoRoom("nothing can be written (No space left on device)."), "storage_full", "No space"),
        (StorageUnavailable("The bucket refused access."), "storage_unavailable", "refused"),
        (OSError(5, "Input/output error"), "storage_unavailable", "OSError"),
    ],
)
async def test_a_place_that_cannot_be_written(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str, said: str
) -> None:
    monkeypatch.setattr(readiness, "FRESH", 0.0)
    place = Place()
    stores = gateway.gateway.readiness.stores
    monkeypatch.setattr(stores, "_checks", {"results": place.check})
    assert await code_of(gateway) == "ready"
    place.error = error
    assert await code_of(gateway) == code
    for path in ("/api/health", "/api/v2/health"):
        health = (await gateway.http.get(path)).json()
        assert (health["status"], said in health["reason"]) == ("degraded", True)
    place.error = None
    assert await code_of(gateway) == "ready"
    assert (await gateway.http.get("/api/health")).json()["status"] == "ok"


async def test_a_place_that_hangs_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "FRESH", 0.0)
    slow, well = Place(), Place()
    slow.goes_on.clear()
    stores = WritableStores({"results": slow.check, "uploads": well.check}, patience=0.05)
    for _ in range(3):
        with pytest.raises(StorageUnavailable, match="results: It does not answer"):
            await stores.check()
    assert (slow.tried, well.tried) == (1, 3)
    slow.goes_on.set()
    await stores.check()
    assert stores.trouble is None


async def test_however_many_ask_little_is_written() -> None:
    place = Place()
    stores = WritableStores({"results": place.check})
    await asyncio.gather(*(stores.check() for _ in range(100)))
    await stores.check()
    assert place.tried == 1


def test_a_folder_is_tried(tmp_path: Path) -> None:
    try_to_write(tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(NoRoom, match="No such file"):
        try_to_write(tmp_path / "gone")
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(NoRoom, match="Not a directory"):
        try_to_write(file)


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
