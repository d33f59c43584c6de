"""The settings for nginx in docs/deployment.md: sockets, live streams and uploads pass through."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect

from fake_comfyui.server import DemoServer
from tests import services
from tests.acceptance.documents import blocks_of
from tests.acceptance.running import free_port
from tests.conftest import ROOT, RunningGateway, text_to_image, wait_until

AROUND = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {settings}
}}
"""


@contextlib.asynccontextmanager
async def nginx(settings: str, folder: Path) -> AsyncIterator[None]:
    program = services.program("nginx", "apt-get install nginx-light")
    (folder / "nginx.conf").write_text(
        AROUND.format(folder=folder, settings=settings), encoding="utf-8"
    )
    process = await asyncio.create_subprocess_exec(
        *(program, "-p", folder, "-c", folder / "nginx.conf", "-e", folder / "error.log"),
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@pytest.fixture
async def outside(gateway: RunningGateway, tmp_path: Path) -> AsyncIterator[str]:
    """The address that nginx has for the gateway."""
    page = blocks_of(ROOT / "docs/deployment.md", ROOT)
    [settings] = [block.content for block in page if block.language == "nginx"]
    port = free_port()
    settings = settings.replace("127.0.0.1:8000", gateway.address)
    settings = settings.replace("listen 8080", f"listen 127.0.0.1:{port}")
    async with nginx(settings, tmp_path), httpx.AsyncClient() as http:

        async def is_up() -> bool:
            with contextlib.suppress(httpx.TransportError):
                return (await http.get(f"http://127.0.0.1:{port}/api/health")).is_success
            return False

        await wait_until(is_up)
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
