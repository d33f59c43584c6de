"""A running demo server, and a client that speaks to it over real sockets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect

from fake_comfyui import DemoServer
from tests.conftest import WAIT
from tests.fake_comfyui.demo_client import Client, Prompts

FIXTURES = Path(__file__).parents[1] / "fixtures" / "demo"


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    names = ("sequences", "keys", "validation")
    return {
        name: json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8")) for name in names
    }


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[DemoServer]:
    """With previews, as the servers had that the sequences are recorded from. What was recorded
    has outputs in the graph's order; by chance."""
    async with DemoServer(
        step_seconds=0, directory=tmp_path / "comfy", preview_method="latent2rgb", order=list
    ) as server:
        yield server


@pytest.fixture
async def http(demo: DemoServer) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        base_url=f"http://{demo.address}", timeout=WAIT, verify=False
    ) as client:
        yield client


@pytest.fixture
async def prompts(http: httpx.AsyncClient) -> Prompts:
    return Prompts(http)


@pytest.fixture
async def client(demo: DemoServer, prompts: Prompts) -> AsyncIterator[Client]:
    async with connect(f"ws://{demo.address}/ws?clientId=A", max_queue=None) as socket:
        yield Client("A", socket, prompts)
