"""The script that most people begin with works with the gateway's address in place of ComfyUI's."""

import asyncio
import re
import sys
from pathlib import Path

from PIL import Image

from tests.conftest import ROOT, RunningGateway

PYTHON = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


async def test_the_script_of_the_documentation(gateway: RunningGateway, tmp_path: Path) -> None:
    text = (ROOT / "docs/migration.md").read_text(encoding="utf-8")
    script = PYTHON.findall(text)[0]
    assert script.count("127.0.0.1:8188") == 1
    folder = tmp_path / "script"
    folder.mkdir()
    (folder / "workflows").symlink_to(ROOT / "workflows")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script.replace("127.0.0.1:8188", gateway.address)),
        cwd=folder,
    )
    assert await process.wait() == 0
    (picture,) = folder.glob("*.png")
    with Image.open(picture) as found:
        assert found.size == (512, 512)
