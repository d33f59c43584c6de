"""A gateway that wants an API key: the page asks for it, keeps it, sends it with all it fetches."""

import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from app.auth.secrets import hash_of, new_key
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.browser.conftest import WAIT, on_loop, visitor
from tests.browser.helpers import QWEN, field, open_run, run
from tests.conftest import RunningGateway, run_gateway

KEY = new_key()


@on_loop
async def locked(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[RunningGateway]:
    keys = [{"name": "page", "hash": hash_of(KEY), "scope": "manage"}]
    (tmp_path / "workflows").symlink_to(Path(__file__).parents[2] / "workflows")
    async with run_gateway(settings_for(demo.address, api_keys=json.dumps(keys))) as running:
        await running.online()
        yield running


def refusals(fault: str) -> bool:
    return "status of 401" in fault or "WebSocket connection" in fault


@pytest.mark.parametrize("view", [f"run/{QWEN}", "tasks"])
async def test_asks_for_the_key_and_keeps_it(
    browser: Browser, locked: RunningGateway, view: str
) -> None:
    async with visitor(browser, locked, expected=refusals) as page:
        await page.goto(f"/#/{view}")
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("answers only with a key")
        await dialog.get_by_label("Key of this gateway").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(dialog).to_contain_text("does not take this key")
        await dialog.get_by_label("Key of this gateway").fill(KEY)
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(page.locator("[data-part=socket]")).to_have_text("live")

        await page.goto(f"/#/run/{QWEN}")
        await expect(page.locator("parameter-field").first).to_be_visible()
        picture = (await run(page)).locator(".outputs img")
        await expect(picture).not_to_have_js_property("naturalWidth", 0)
        await page.reload()
        await expect(page.locator("[data-part=socket]")).to_have_text("live")
        await expect(page.locator("result-tile .outputs img")).to_be_visible()
        async with page.expect_download() as file:
            await page.locator("result-tile .picture").click()
            await page.get_by_role("dialog").get_by_role("button", name="Download").click()
        assert (await (await file.value).path()).read_bytes().startswith(b"\x89PNG")


async def test_who_has_no_key_is_asked_once(browser: Browser, locked: RunningGateway) -> None:
    async with visitor(browser, locked, expected=refusals) as page:
        await page.goto(f"/#/run/{QWEN}")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()
        await expect(page.locator("[data-part=socket]")).to_have_text("API key needed")
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Change the API key").click()
        await page.get_by_label("Key of this gateway").fill(KEY)
        await page.keyboard.press("Enter")
        await expect(page.locator("parameter-field").first).to_be_visible()
        await expect(page.locator("[data-part=socket]")).to_have_text("live")


def count_asked(page: Page) -> Counter[str]:
    """How often each route is asked for, and the WebSocket; but for what needs no key."""
    asked: Counter[str] = Counter()

    def note(url: str) -> None:
        if not re.search("/static/|/api/health$|/#|/$", url):
            asked[url] += 1

    page.on("request", lambda request: note(request.url))
    page.on("websocket", lambda socket: note(socket.url))
    return asked


async def minutes_pass(page: Page) -> None:
    """Two of them, in which each timer of the page ends; what that asks for is asked."""
    for _ in range(12):
        async with page.expect_response("**/api/health"):
            await page.clock.run_for(10_000)


@pytest.mark.parametrize("was", ["", "wrong"])
async def test_nothing_is_asked_again_with_a_key_that_was_refused(
    browser: Browser, locked: RunningGateway, was: str
) -> None:
    async with visitor(browser, locked, expected=refusals, locale="en-US") as page:
        await page.add_init_script(f"localStorage.setItem('gateway.key', {json.dumps(was)})")
        await page.clock.install(time=0)
        await page.clock.pause_at(1000)  # nothing is tried again before the first answers are here
        asked = count_asked(page)
        await page.goto(f"/#/run/{QWEN}")
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("not take this" if was else "only with a key")
        await page.clock.resume()
        await minutes_pass(page)
        assert max(asked.values()) == 1, asked
        before = asked.total()
        for text in ("also-wrong", "schlüssel", "“quoted”", "钥"):
            await dialog.get_by_label("Key of this gateway").fill(text)
            await page.keyboard.press("Enter")
            await expect(dialog).to_contain_text("does not take this key")
        await minutes_pass(page)
        assert asked.total() == before + 1, asked  # one look, for the one that can be sent
        await dialog.get_by_role("button", name="Close").click()
        await minutes_pass(page)
        for view in ("tasks", "servers", f"run/{QWEN}"):
            await page.goto(f"/#/{view}")
            await minutes_pass(page)
        assert asked.total() == before + 1, asked
        await expect(page.locator("[data-part=socket]")).to_have_text("API key needed")


async def test_servers_are_counted_anew_with_the_key(
    browser: Browser, locked: RunningGateway
) -> None:
    async with visitor(browser, locked, expected=refusals, locale="en-US") as page:
        await page.clock.install()
        await page.goto("/#/servers")
        await page.get_by_label("Key of this gateway").fill(KEY)
        await expect(page.locator("[data-part=health]")).to_be_empty()
        await page.clock.pause_at("2099-01-01")
        async with page.expect_response("**/api/health"):
            await page.clock.run_for(6_000)  # from here on no timer ends
        await page.keyboard.press("Enter")
        await expect(page.locator("[data-part=health]")).to_contain_text("1 of 1")


@pytest.mark.parametrize("was", ["", "revoked"])
async def test_nothing_is_counted_without_a_key(
    browser: Browser, locked: RunningGateway, was: str
) -> None:
    async with visitor(browser, locked, expected=refusals) as page:
        await page.add_init_script(f"localStorage.setItem('gateway.key', {json.dumps(was)})")
        async with page.expect_response("**/api/health"):
            await page.goto("/#/servers")
        await expect(page.get_by_role("dialog")).to_be_visible()
        async with page.expect_response("**/api/health"):
            pass
        await expect(page.locator("[data-part=health]")).to_be_empty()
        await expect(page.locator("[data-part=health]")).to_be_hidden()


@pytest.mark.parametrize("was", ["", "revoked"])
async def test_a_key_of_another_tab_is_used(
    browser: Browser, locked: RunningGateway, was: str
) -> None:
    kept: Any = {"name": "gateway.key", "value": was}
    origin: Any = {"origin": f"http://{locked.address}", "localStorage": [kept] if was else []}
    async with await browser.new_context(
        locale="en-US", base_url=origin["origin"], storage_state={"origins": [origin]}
    ) as context:
        tabs = [await context.new_page() for _ in range(2)]
        for tab in tabs:
            await tab.goto(f"/#/run/{QWEN}")
            await expect(tab.get_by_role("dialog")).to_be_visible(timeout=WAIT)
        await tabs[0].get_by_label("Key of this gateway").fill(KEY)
        await tabs[0].keyboard.press("Enter")
        for tab in tabs:
            await expect(tab.locator("[data-part=socket]")).to_have_text("live", timeout=WAIT)
            await expect(tab.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("view", [f"run/{QWEN}", "tasks", "servers"])
async def test_no_view_looks_well_without_a_key(
    browser: Browser, locked: RunningGateway, view: str
) -> None:
    async with visitor(browser, locked, expected=refusals) as page:
        await page.goto(f"/#/{view}")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()
        await expect(page.locator("[data-part=socket]")).to_have_text("API key needed")
        async with page.expect_response("**/api/health"):  # asked again: it is well itself
            pass
        await expect(page.locator("gateway-header [data-tone=good]")).to_have_count(0)
        await expect(page.get_by_role("alert").first).to_contain_text("only with a key")
        for claim in ("No tasks yet", "No server yet", "Nothing has run", "No saved workflows"):
            await expect(page.get_by_text(claim).locator("visible=true")).to_have_count(0)
        await page.get_by_role("button", name="Enter the key").click()
        field = page.get_by_label("Key of this gateway")
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        await field.press_sequentially(KEY)
        others = re.compile("/api/health$|/ws$|/api/tasks.limit=1$|/static/")  # asked anyway
        assert [url for url in asked if not others.search(url)] == []
        await expect(page.get_by_role("dialog").locator("problem-box, .error")).to_have_count(0)
        await expect(page.locator("toast-list > div")).to_have_count(0)
        await page.keyboard.press("Enter")
        await expect(page.locator("[data-part=socket]")).to_have_text("live")
        await expect(page.locator("gateway-header [data-tone=good]")).to_have_count(2)
        await expect(page.get_by_role("button", name="Enter the key")).to_have_count(0)


async def test_no_error_or_request_for_each_key_typed(timed: Page) -> None:
    page = timed
    await open_run(page)
    await page.clock.install()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.locator("workflow-library summary").click()
    text = page.locator("workflow-library textarea")
    await text.press_sequentially('{"3": {"cl')
    await page.get_by_label("Steps").focus()
    await expect(page.locator("toast-list > div")).to_have_count(1)  # once it is left
    await page.get_by_label("Steps").press("Control+a")
    await page.keyboard.press("Backspace")
    error = field(page, "3.steps").locator(".error")
    await expect(error).to_be_hidden()
    await page.keyboard.type("4")
    await page.clock.run_for(5000)
    await expect(error).to_be_hidden()
    await page.keyboard.press("Backspace")
    await page.clock.run_for(5000)  # nobody types any more
    await expect(error).to_be_visible()
    assert [url for url in asked if "workflow" in url] == []
