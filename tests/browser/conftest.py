"""What tests of the page share: a gateway over a demo server, a real Chromium, its complaints.

One Chromium serves all tests of a session, so all of them run on the session's event loop.
"""

import contextlib
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import services
from tests.conftest import ROOT, RunningGateway, run_gateway

HERE = Path(__file__).parent
WAIT = 15_000  # milliseconds
HOSTILE = "<img src=x onerror=\"console.error('ran')\">"

# The gateway, the demo server and the browser of a test live on the session's loop.
on_loop = pytest_asyncio.fixture(loop_scope="session")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    on_one_loop = pytest.mark.asyncio(loop_scope="session")
    for item in items:
        if item.path.is_relative_to(HERE) and pytest_asyncio.is_async_test(item):
            item.add_marker(on_one_loop, append=False)


@on_loop
async def demo() -> AsyncIterator[DemoServer]:
    """A stand-in that takes its time, so that there is something to see."""
    async with DemoServer(step_seconds=0.05, preview_method="auto", order=list) as server:
        yield server


@on_loop
async def gateway(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[RunningGateway]:
    """A gateway with the repository's workflows."""
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    async with run_gateway(settings_for(demo.address, allow_private_urls=["127.0.0.1"])) as running:
        await running.online()
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    chromium = services.program("chromium", "apt-get install chromium")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield browser
        await browser.close()


@on_loop
async def blank(browser: Browser, gateway: RunningGateway) -> AsyncIterator[Page]:
    """A page that has opened nothing yet. An error on its console fails the test."""
    async with visitor(browser, gateway) as page:
        yield page


@contextlib.asynccontextmanager
async def visitor(
    browser: Browser,
    gateway: RunningGateway,
    *,
    expected: Callable[[str], bool] = lambda _: False,
    **context: Any,
) -> AsyncIterator[Page]:
    """A page of a browser that was never here before; it complains of what is expected only."""
    options = {"locale": "en-US", "base_url": f"http://{gateway.address}", **context}
    page = await browser.new_page(**options)
    page.set_default_timeout(WAIT)
    expect.set_options(timeout=WAIT)
    faults = watch(page)
    try:
        yield page
    finally:
        await page.close()
    assert [fault for fault in faults if not expected(fault)] == []


def watch(page: Page) -> list[str]:
    """Collects what the page complains of; violations of its CSP are among it."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: (
            faults.append(f"{message.text} {message.location['url']}")
            if is_fault(message)
            else None
        ),
    )
    return faults


def is_fault(message: Any) -> bool:
    # Chromium itself logs every answer of 4xx, also those that the page shows.
    shown = ("status of 409", "status of 412", "status of 422")
    return message.type in ("error", "warning") and not any(told in message.text for told in shown)


async def assert_fits(page: Page, width: int) -> None:
    """Nothing sticks out sideways."""
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
