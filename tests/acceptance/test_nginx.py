"""The settings for nginx in docs/deployment.md: sockets, live streams and uploads pass through."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from fake_comfyui.server import DemoServer
from tests.acceptance.documents import blocks_of
from tests.acceptance.proxies import nginx, until_it_answers
from tests.conftest import ROOT, RunningGateway, text_to_image
from tests.ports import free_port


@pytest.fixture
async def outside(gateway: RunningGateway, tmp_path: Path) -> AsyncIterator[str]:
    """The address that nginx has for the gateway."""
    page = blocks_of(ROOT / "docs/deployment.md", ROOT)
    [settings] = [block.content for block in page if block.language == "nginx"]
    port = free_port()
    settings = settings.replace("127.0.0.1:8000", gateway.address)
    settings = settings.replace("listen 8080", f"listen 127.0.0.1:{port}")
    async with nginx(settings, tmp_path):
        await until_it_answers(f"http://127.0.0.1:{port}")
        yield f"127.0.0.1:{port}"


async def test_nginx(outside: str, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.05
    async with (
        httpx.AsyncClient(base_url=f"http://{outside}", timeout=60) as http,
        connect(f"ws://{outside}/ws") as socket,
    ):
        answer = await http.post("/api/workflow/submit", json=text_to_image(steps=40))
        task_id = answer.json()["task_id"]
        async with http.stream("GET", f"/api/task/{task_id}/events") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("event: progress"):  # it has not been kept back until the end
                    break
        assert (await http.get(f"/api/task/{task_id}")).json()["status"] == "running"
        while json.loads(await socket.recv())["task_id"] != task_id:
            pass
        upload = {"image": ("large.png", b"\x89PNG\r\n\x1a\n" + bytes(3 << 20))}
        assert (await http.post("/api/image/upload", files=upload)).status_code == 201
