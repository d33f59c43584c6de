"""Every command and code block of the documentation runs, over a gateway and the demo server.

The blocks of a file run in their order in one folder, as a reader would run them; variables that a
shell block sets are there in the next. Addresses and ids that stand in the text are replaced by
real ones, an answer that is shown must have the shape of the one that comes.
"""

import contextlib
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from PIL import Image

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import services
from tests.acceptance.documents import Block, blocks_of
from tests.acceptance.running import Reader
from tests.conftest import ROOT, over
from tests.integration.test_files import png
from tests.receivers import receiving

DOCUMENTS = sorted(
    [
        *ROOT.glob("docs/**/*.md"),
        *(ROOT / name for name in ("README.md", "API_USAGE.md")),
        *(ROOT / name for name in ("COMMON_ERRORS.md", "TROUBLESHOOTING.md", "POSTMAN_GUIDE.md")),
    ]
)


LINKED = (
    *("app", "fake_comfyui", "static", "scripts", "examples", "tests"),
    *("start.py", "Makefile"),
)


@contextlib.asynccontextmanager
async def reading(
    folder: Path, settings_for: Callable[..., Settings], demo: DemoServer
) -> AsyncIterator[Reader]:
    """A reader with a clone of the repository in `folder`, and a gateway to try things on."""
    for name in (
        "app",
        "fake_comfyui",
        "static",
        "scripts",
        "examples",
        "tests",
        "start.py",
        "Makefile",
    ):
        (folder / name).symlink_to(ROOT / name)
    for name in (*ROOT.glob("*requirements*"), ROOT / ".env.example", ROOT / "pyproject.toml"):
        (folder / Path(name).name).symlink_to(name)
    for name in ROOT.glob("*.json"):
        (folder / name.name).symlink_to(name)
    (folder / ".venv").symlink_to(os.environ.get("VIRTUAL_ENV", ROOT / ".venv"))
    shutil.copytree(ROOT / "workflows", folder / "workflows")
    for name in ("cat.png", "photo.png"):
        (folder / name).write_bytes(png((90, 60, 30)))
    Image.new("RGBA", (1024, 1024)).save(folder / "mask.png")
    async with receiving() as receiver, DemoServer(step_seconds=0) as second:
        settings = {
            "workflows_dir": folder / "workflows",
            "webhook_url": f"{receiver.url}/hook",
            "allow_private_urls": ["127.0.0.1"],
        }
        async with over(settings_for, demo, **settings) as gateway:
            reader = Reader(folder, gateway, [demo.address, second.address])
            try:
                yield reader
            finally:
                await reader.stop()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
async def test_its_blocks_run(
    path: Path, tmp_path: Path, demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    folder = tmp_path / "clone"
    folder.mkdir()
    async with reading(folder, settings_for, demo) as reader:
        for block in blocks_of(path, ROOT):
            await reader.try_out(block)
    assert not reader.faults, "\n\n".join(reader.faults)
    if reader.missing:
        missing = ", ".join(sorted(reader.missing))
        services.absent(f"all blocks ran but those that need {missing}")


def test_a_block_that_fails_is_found(tmp_path: Path) -> None:
    """So that the test above can fail at all."""
    from tests.acceptance.documents import differences

    shown = {"status": "queued", "outputs": [{"url": "/a"}]}
    assert (
        differences(shown, {"status": "running", "outputs": [{"url": "/b"}]}, shortened=False) == []
    )
    assert differences(shown, {"status": "queued"}, shortened=False)
    assert differences(shown, {**shown, "more": 1}, shortened=False)
    assert not differences(shown, {**shown, "more": 1}, shortened=True)
    (tmp_path / "a.md").write_text("```bash\nfalse\n```\n\n```json\n{}\n```\n", encoding="utf-8")
    [commands, answer] = blocks_of(tmp_path / "a.md", tmp_path)
    assert commands == Block("a.md", 1, "bash", "false\n", "\n\n", answer)
