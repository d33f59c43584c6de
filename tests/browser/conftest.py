"""What tests of the page share: a gateway over a demo server, a real Chromium, its complaints.

One Chromium serves all tests of a session, so all of them run on the session's event loop. Most of
them share a context of it, too.
"""

import asyncio
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
from tests.browser.front_door import FrontDoor
from tests.browser.helpers import QWEN
from tests.conftest import ROOT, RunningGateway, run_gateway

HERE = Path(__file__).parent
WAIT = 60_000  # milliseconds; the machine may be busy
BELOW = "/a/path"  # where the gateway is for some tests, as behind a proxy
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
    """A gateway with the repository's workflows. What is run most makes small pictures."""
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    most_run = tmp_path / "workflows" / QWEN
    most_run.write_text(
        most_run.read_text(encoding="utf-8").replace(": 1024", ": 256"), encoding="utf-8"
    )
    async with run_gateway(settings_for(demo.address, allow_private_urls=["127.0.0.1"])) as running:
        await running.online()
        yield running


# One process for all pages of a context, wherever they lead. It is warm after the first one.
FLAGS = ["--no-sandbox", "--renderer-process-limit=1", "--disable-site-isolation-trials"]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    """Its first context is the one that most tests share, see `visitor`."""
    chromium = services.program("chromium", "apt-get install chromium")
    expect.set_options(timeout=WAIT)
    door = await asyncio.get_running_loop().create_server(FrontDoor, "127.0.0.1", 0)
    async with door, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        address = f"http://127.0.0.1:{door.sockets[0].getsockname()[1]}"
        shared = await browser.new_context(locale="en-US", base_url=address)
        shared.set_default_timeout(WAIT)
        keeper = await shared.new_page()  # a process without a page would end
        await keeper.route("**", lambda route: route.fulfill(content_type="text/html", body=""))
        await keeper.goto("/")
        yield browser
        await browser.close()


@on_loop
async def blank(browser: Browser, gateway: RunningGateway) -> AsyncIterator[Page]:
    """A page that has opened nothing yet. An error on its console fails the test."""
    async with visitor(browser, gateway) as page:
        yield page


@on_loop
async def below(browser: Browser, gateway: RunningGateway) -> AsyncIterator[Page]:
    """The same, of a gateway that is below a path: the page is at BELOW + "/"."""
    async with visitor(browser, gateway, below=BELOW) as page:
        yield page


@on_loop
async def timed(browser: Browser, gateway: RunningGateway) -> AsyncIterator[Page]:
    """The same, with a clock that can be set."""
    async with visitor(browser, gateway, locale="en-US") as page:
        yield page


@contextlib.asynccontextmanager
async def visitor(
    browser: Browser,
    gateway: RunningGateway,
    *,
    expected: Callable[[str], bool] = lambda _: False,
    below: str = "",
    **context: Any,
) -> AsyncIterator[Page]:
    """A page of a browser that was never here before; it complains of what is expected only.

    With options it is one in a context of its own, which takes twice the work to start: needed
    for another language or theme, and where `page.clock` is set, as a context keeps its clock.
    Without options the gateway may be `below` a path, and all requests must go there.
    """
    assert not (below and context), "the front door is that of the shared context"
    async with (
        own_page(browser, gateway, context)
        if context
        else shared_page(browser, gateway, below) as page
    ):
        faults = watch(page)
        yield page
    assert [fault for fault in faults if not expected(fault)] == []


@contextlib.asynccontextmanager
async def own_page(
    browser: Browser, gateway: RunningGateway, context: dict[str, Any]
) -> AsyncIterator[Page]:
    options = {"locale": "en-US", "base_url": f"http://{gateway.address}", **context}
    page = await browser.new_page(**options)
    page.set_default_timeout(WAIT)
    try:
        yield page
    finally:
        await page.close()


@contextlib.asynccontextmanager
async def shared_page(browser: Browser, gateway: RunningGateway, below: str) -> AsyncIterator[Page]:
    """In the shared context, which keeps nothing but code that is compiled."""
    context = browser.contexts[0]
    keeper = context.pages[0]
    FrontDoor.lead_to(gateway.address, below)
    page = await context.new_page()
    try:
        yield page
        own_clock = await page.evaluate("String(setTimeout).includes('[native code]')")
        assert FrontDoor.strayed == [], f"not below {below}"
        assert own_clock, "the clock stays in the shared context: take `timed`"
    finally:
        for each in context.pages[1:]:
            await each.close()
        await context.clear_permissions()
        session = await context.new_cdp_session(keeper)
        origin = await keeper.evaluate("location.origin")
        await session.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": "all"})
        await session.detach()


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
