"""The official TypeScript client of Comfy API v2 (@comfyorg/sdk, unchanged), where npm is."""

import asyncio
import json
import os
import shutil
from pathlib import Path

from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import ROOT, WAIT, RunningGateway, text_to_image
from tests.integration.test_files import png

PACKAGE = "@comfyorg/sdk@0.1.9"
LOADING = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "ts"}},
}


async def run(*command: str, cwd: Path, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(WAIT):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        return None, "it took more than a minute"
    return process.returncode, output.decode()


async def done_by_typescript(folder: Path, url: str, key: str = "") -> None:
    """The client does all that comfy_sdk.mjs says; fails the test if it cannot."""
    services.program("node")
    services.program("npm")
    (folder / "package.json").write_text('{"type": "module", "private": true}', encoding="utf-8")
    options = ("--no-audit", "--no-fund", "--fetch-retries=0", "--loglevel=error")
    status, said = await run("npm", "install", *options, PACKAGE, cwd=folder)
    if status != 0:
        services.absent(f"{PACKAGE} cannot be installed: {said[-300:]}")
    shutil.copy(ROOT / "tests/acceptance/comfy_sdk.mjs", folder / "job.mjs")
    (folder / "graph.json").write_text(json.dumps(LOADING), encoding="utf-8")
    (folder / "sampling.json").write_text(json.dumps(text_to_image(steps=30)), encoding="utf-8")
    (folder / "photo.png").write_bytes(png((10, 20, 30)))
    command = ("node", "job.mjs", "graph.json", "photo.png", "sampling.json")
    status, said = await run(*command, cwd=folder, COMFY_BASE_URL=url, COMFY_API_KEY=key)
    assert (status, said.splitlines()[-1:]) == (0, ["done"]), said


async def test_the_typescript_client(
    gateway: RunningGateway, demo: DemoServer, tmp_path: Path
) -> None:
    demo.knobs.step_seconds = 0.03
    await done_by_typescript(tmp_path, f"http://{gateway.address}")
