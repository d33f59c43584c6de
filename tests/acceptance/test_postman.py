"""The Postman collection passes in newman, called as POSTMAN_GUIDE.md says."""

import asyncio
import re
import shutil
from collections.abc import Callable

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import ROOT, run_gateway


async def test_the_collection(demo: DemoServer, settings_for: Callable[..., Settings]) -> None:
    guide = (ROOT / "POSTMAN_GUIDE.md").read_text(encoding="utf-8")
    command = re.findall(r"^newman run .*$", guide, re.MULTILINE)[0].split()
    services.program("newman", "npm install --global newman")
    settings = settings_for(demo.address)
    shutil.copytree(ROOT / "workflows", settings.workflows_dir)
    async with run_gateway(settings) as gateway:
        await gateway.online()
        process = await asyncio.create_subprocess_exec(
            *command,
            "--env-var",
            f"base_url=http://{gateway.address}",
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(120):
            output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
