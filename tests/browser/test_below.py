"""Below a path, and without internet: what pages ask for is of the gateway, and below its path.

/docs and /redoc show all routes, and call the gateway. The front door refuses what is not below the
path; what leads to another host is looked for here. All controls of the page are operated below a
path by test_view_controls.py and test_dialog_controls.py.
"""

from typing import Any

from playwright.async_api import Page, expect

from app.main import create_app
from app.settings import Settings
from tests.browser.conftest import BELOW
from tests.browser.helpers import open_run, run

LINKS = """() => [...document.querySelectorAll("a[href]")]
  .filter((link) => link.checkVisibility()).map((link) => link.href)"""


def recording(page: Page) -> list[str]:
    """The addresses that the page asks for from here on; data of its own is at none."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url.replace("ws:", "http:")))
    return asked


async def assert_stays_below(page: Page, asked: list[str], *places: str) -> None:
    """The page asked for the places, and neither asks nor leads elsewhere."""
    base = await page.evaluate("location.origin") + BELOW + "/"
    links: Any = await page.evaluate(LINKS)
    addresses = [url for url in asked + links if not url.startswith(("blob:", "data:"))]
    assert [url for url in addresses if not url.startswith(base)] == []
    assert {base + place for place in places} <= set(addresses)


async def test_the_page(below: Page) -> None:
    asked = recording(below)
    await open_run(below, below=BELOW)
    tile = await run(below)
    await expect(tile.locator(".outputs img")).not_to_have_js_property("naturalWidth", 0)
    await below.get_by_role("link", name="Tasks").click()
    await below.locator("task-table .space > .row a").first.click()
    await expect(below.locator("task-detail .outputs img")).not_to_have_js_property(
        "naturalWidth", 0
    )
    await below.get_by_role("link", name="Servers").click()
    await expect(below.locator("server-panel .meter").first).to_be_visible()
    await assert_stays_below(below, asked, "", "ws", "api/workflow/submit", "static/icons.svg")
    assert sum("api/image/" in url for url in asked) >= 2


async def test_from_its_path_without_a_slash(below: Page) -> None:
    """As behind Traefik, which does not redirect. Links of the page lead to no other page."""
    await below.goto(f"{BELOW}?from=elsewhere#/servers")
    await expect(below.locator("server-panel .meter").first).to_be_visible()
    await below.evaluate("window.stays = true")
    await below.get_by_role("link", name="Tasks").click()
    await expect(below.locator("task-table .bar")).to_be_visible()
    assert await below.evaluate("window.stays")


async def test_swagger_ui(below: Page) -> None:
    asked = recording(below)
    await below.goto(f"{BELOW}/docs")
    routes = sum(len(each) for each in create_app(Settings()).openapi()["paths"].values())
    await expect(below.locator(".opblock")).to_have_count(routes)
    health = below.locator(".opblock", has_text="/api/health").first
    await health.locator(".opblock-summary-control").click()
    await health.get_by_role("button", name="Try it out").click()
    await health.get_by_role("button", name="Execute").click()
    answer = health.locator(".live-responses-table .response")
    await expect(answer).to_contain_text("200")
    await expect(answer).to_contain_text('"version"')
    await assert_stays_below(below, asked, "openapi.json", "api/health")


async def test_redoc(below: Page) -> None:
    asked = recording(below)
    await below.goto(f"{BELOW}/redoc")
    await expect(below.locator("[data-section-id='tag/tasks']")).to_be_visible()
    await below.get_by_role("textbox", name="Search").fill("deliveries")
    found = below.locator("[data-role='search:results'] li")
    await expect(found.first).to_be_visible()
    await expect(below.get_by_text("API docs by Redocly")).to_be_hidden()
    await assert_stays_below(below, asked, "openapi.json")
