"""The examples run against the demo, with nothing but what the project's environment has."""

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from app.config import Settings
from app.demo.server import DemoServer
from tests.conftest import ROOT, RunningGateway, over


@pytest.fixture
async def shipped(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    """A gateway as `make demo` starts it."""
    shutil.copytree(ROOT / "workflows", settings_for().workflows_dir)
    async with over(settings_for, demo, allow_private_urls=["127.0.0.1"]) as gateway:
        yield gateway


async def example(name: str, *arguments: str, url: str, folder: Path) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", ROOT / "examples" / name, *arguments),
        cwd=folder,
        env={**os.environ, "GATEWAY_URL": url},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "here"
    place.mkdir()
    return place


async def test_basic_usage(shipped: RunningGateway, folder: Path) -> None:
    small = ("--steps", "2", "--width", "64", "--height", "64")
    url = f"http://{shipped.address}"
    status, said = await example(
        "basic_usage.py", "--prompt", "a fox", *small, url=url, folder=folder
    )
    assert status == 0, said
    assert (folder / "qwen_image_00001_.png").read_bytes().startswith(b"\x89PNG")


async def test_batch_generate(shipped: RunningGateway, folder: Path) -> None:
    arguments = ("--seeds", "2", "--steps", "2", "a fox", "a boat")
    url = f"http://{shipped.address}"
    status, said = await example("batch_generate.py", *arguments, url=url, folder=folder)
    assert status == 0, said
    pictures = {path.read_bytes() for path in (folder / "pictures").glob("*.png")}
    assert len(pictures) == 4


async def test_advanced_usage(shipped: RunningGateway, folder: Path) -> None:
    url = f"http://{shipped.address}"
    status, said = await example("advanced_usage.py", url=url, folder=folder)
    assert status == 0, said
    for told in ("2. uploaded as", "after 25 previews", "4. the webhook says task.succeeded"):
        assert told in said
    assert len(list(folder.glob("image_to_image_*.png"))) == 1
    assert len(list(folder.glob("comfy-sdk-image_to_image_*.png"))) == 1


@pytest.mark.parametrize(
    "command",
    [
        ("basic_usage.py", "--prompt", "a fox"),
        ("batch_generate.py", "a fox"),
        ("advanced_usage.py",),
    ],
    ids=lambda command: command[0],
)
async def test_without_a_gateway_they_say_so(command: tuple[str, ...], folder: Path) -> None:
    status, said = await example(*command, url="http://127.0.0.1:9", folder=folder)
    assert status == 1
    assert "127.0.0.1:9 does not answer" in said
    assert "Traceback" not in said


async def test_the_page(shipped: RunningGateway, demo: DemoServer) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "chromium is not installed: apt-get install chromium"
        pytest.fail(reason) if os.environ.get("REQUIRE_SERVICES") else pytest.skip(reason)
    demo.knobs.step_seconds = 0.01
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        await page.goto(f"http://{shipped.address}/static/example/index.html")
        await page.get_by_label("Seed").fill("7")
        await page.get_by_role("button", name="Make it").click()
        await expect(page.get_by_role("status")).to_have_text("Done. Seed 7", timeout=20_000)
        await expect(page.get_by_role("img", name="sd15_00001_.png")).to_be_visible()
        await page.evaluate("document.querySelector('[name=steps]').max = ''")
        await page.get_by_label("Steps").fill("20000")
        await page.get_by_role("button", name="Make it").click()
        await expect(page.get_by_role("status")).to_contain_text("10000", timeout=20_000)
        await browser.close()
    assert faults == []
