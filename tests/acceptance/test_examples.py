"""The examples run against the demo, with nothing but what the project's environment has."""

import asyncio
import contextlib
import os
import re
import shutil
import sys
import threading
from collections.abc import AsyncIterator, Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import ROOT, WAIT, RunningGateway, over
from tests.keyholders import guarded

FOX = "\U0001f98a"  # in no code page of Windows


@pytest.fixture
async def shipped(
    demo: DemoServer, settings_for: Callable[..., Settings]
) -> AsyncIterator[RunningGateway]:
    """A gateway as `make demo` starts it."""
    shutil.copytree(ROOT / "workflows", settings_for().workflows_dir)
    async with over(settings_for, demo, allow_private_urls=["127.0.0.1"]) as gateway:
        yield gateway


async def example(
    name: str, *arguments: str, url: str, folder: Path, key: str = ""
) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", ROOT / "examples" / name, *arguments),
        cwd=folder,
        env={**os.environ, "GATEWAY_URL": url, "COMFYUI_API_KEY": key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(WAIT):
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
    assert (folder / "pictures/qwen_image_00001_.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", ["basic_usage.py", "batch_generate.py", "advanced_usage.py"])
async def test_without_arguments(
    shipped: RunningGateway, demo: DemoServer, folder: Path, name: str
) -> None:
    demo.knobs.step_seconds = 0.001
    status, said = await example(name, url=f"http://{shipped.address}", folder=folder)
    assert status == 0, said
    assert shipped.address in said
    assert [path.name for path in folder.iterdir()] == ["pictures"]
    assert list((folder / "pictures").glob("*.png"))


@pytest.mark.parametrize("place", [".", "examples"])
async def test_what_they_make_is_not_in_git(place: str) -> None:
    made = ROOT / place / "pictures" / "fox.png"
    process = await asyncio.create_subprocess_exec("git", "check-ignore", "-q", made, cwd=ROOT)
    assert await process.wait() == 0


async def test_batch_generate(shipped: RunningGateway, folder: Path) -> None:
    arguments = ("--seeds", "2", "--steps", "2", "a fox", "a boat")
    url = f"http://{shipped.address}"
    status, said = await example("batch_generate.py", *arguments, url=url, folder=folder)
    assert status == 0, said
    pictures = {path.read_bytes() for path in (folder / "pictures").glob("*.png")}
    assert len(pictures) == 4


@pytest.mark.parametrize("name", ["basic_usage.py", "batch_generate.py"])
async def test_a_console_without_the_letters_of_a_prompt_is_no_fault(
    shipped: RunningGateway, folder: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "cp936")
    prompt = ("--prompt", FOX) if name == "basic_usage.py" else (FOX,)
    url = f"http://{shipped.address}"
    status, said = await example(name, *prompt, "--steps", "2", url=url, folder=folder)
    assert status == 0, said
    assert "\\U0001f98a" in said
    assert list((folder / "pictures").glob("*.png"))


async def test_advanced_usage_with_a_key(
    demo: DemoServer, settings_for: Callable[..., Settings], folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "workflows", settings_for().workflows_dir)
    demo.knobs.step_seconds = 0.1  # it is followed once it is submitted, and must not be over then
    keys: dict[str, Any] = {"example": "run"}
    allowed = ["127.0.0.1"]
    async with guarded(
        settings_for, tmp_path, demo, keys=keys, allow_private_urls=allowed
    ) as gateway:
        url, key = f"http://{gateway.address}", gateway.texts["example"]
        status, said = await example("advanced_usage.py", url=url, folder=folder, key=key)
    assert status == 0, said
    for told in ("2. uploaded as", "4. the webhook says task.succeeded"):
        assert told in said
    assert re.search(r"succeeded, after [1-9]\d* previews", said)
    assert len(list(folder.glob("pictures/image_to_image_*.png"))) == 1
    assert len(list(folder.glob("pictures/comfy-sdk-image_to_image_*.png"))) == 1


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


@contextlib.asynccontextmanager
async def opened() -> AsyncIterator[Page]:
    """A page of Chromium; an error of its scripts fails the test."""
    chromium = services.program("chromium", "apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        yield page
        await browser.close()
    assert faults == []


async def test_the_page(shipped: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.01
    async with opened() as page:
        await page.goto(f"http://{shipped.address}/static/example/index.html")
        await page.get_by_label("Seed").fill("7")
        await page.get_by_role("button", name="Make it").click()
        status = page.get_by_role("status")
        await expect(status).to_have_text("Done. Seed 7", timeout=20_000)
        await expect(page.get_by_role("img", name="sd15_00001_.png")).to_be_visible()
        await page.evaluate("document.querySelector('[name=steps]').max = ''")
        await page.get_by_label("Steps").fill("20000")
        await page.get_by_role("button", name="Make it").click()
        await expect(status).to_contain_text("10000", timeout=20_000)


async def test_the_page_from_another_origin_with_a_key(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    shutil.copytree(ROOT / "workflows", settings_for().workflows_dir)
    files = partial(SimpleHTTPRequestHandler, directory=str(ROOT / "static" / "example"))
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as elsewhere:
        threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
        origin = f"http://localhost:{elsewhere.server_port}"
        keys: dict[str, Any] = {"page": "run"}
        async with (
            guarded(settings_for, tmp_path, demo, keys=keys, cors_origins=[origin]) as gateway,
            opened() as page,
        ):
            await page.goto(origin)
            await page.get_by_text("Another gateway").click()
            await page.get_by_label("Address").fill(f"http://{gateway.address}")
            await page.get_by_label("API key").fill(gateway.texts["page"])
            await page.get_by_label("Seed").fill("8")
            await page.get_by_role("button", name="Make it").click()
            status = page.get_by_role("status")
            await expect(status).to_have_text("Done. Seed 8", timeout=20_000)
            await expect(page.get_by_role("img", name="sd15_00001_.png")).to_be_visible()
        elsewhere.shutdown()
