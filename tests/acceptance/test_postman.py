"""The Postman collection passes in newman, called as POSTMAN_GUIDE.md says."""

import asyncio
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import httpx

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import ROOT, WAIT, RunningGateway, run_gateway
from tests.keyholders import write_keys

SettingsFor = Callable[..., Settings]


async def passes(gateway: RunningGateway, **variables: str) -> None:
    guide = (ROOT / "POSTMAN_GUIDE.md").read_text(encoding="utf-8")
    command = re.findall(r"^newman run .*$", guide, re.MULTILINE)[0].split()
    services.program("newman", "npm install --global newman")
    variables["base_url"] = f"http://{gateway.address}"
    options = [word for pair in variables.items() for word in ("--env-var", "=".join(pair))]
    process = await asyncio.create_subprocess_exec(
        *(*command, *options),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(120):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def test_the_collection(demo: DemoServer, settings_for: SettingsFor) -> None:
    settings = settings_for(demo.address)
    shutil.copytree(ROOT / "workflows", settings.workflows_dir)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        await passes(gateway)


async def test_with_keys_on_a_busy_gateway(
    demo: DemoServer, settings_for: SettingsFor, tmp_path: Path
) -> None:
    """What scripts ask by themselves has the key, too, and waits for what takes its time."""
    demo.knobs.slow = 1.0
    demo.knobs.step_seconds = 2.0  # what the collection has to cancel does not end before it
    key = write_keys(tmp_path / "keys.json", client="manage")["client"]
    settings = settings_for(demo.address, api_keys=str(tmp_path / "keys.json"))
    shutil.copytree(ROOT / "workflows", settings.workflows_dir)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        await passes(gateway, api_key=key)
        bearer = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(headers=bearer, timeout=WAIT) as http:
            tasks = (await http.get(f"http://{gateway.address}/api/tasks?limit=100")).json()[
                "tasks"
            ]
        saved = {task["task_id"]: task["status"] for task in tasks if task["workflow"]}
        assert set(saved.values()) == {"canceled"}, saved
