"""`gateway` in the health: which one it is, of those that an address may have led to."""

from collections.abc import Callable
from pathlib import Path

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import run_gateway


async def test_a_gateway_stays_itself_and_is_no_other(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    async def asked(**changes: str) -> str:
        async with run_gateway(settings_for(demo.address, **changes)) as running:
            health = (await running.http.get("/api/health")).json()
            assert str(tmp_path) not in health["gateway"]
            return str(health["gateway"])

    first = await asked()
    assert await asked() == first
    assert await asked(database_url=f"sqlite:///{tmp_path}/another.db") != first
