"""/docs and /redoc show all routes, call the gateway, and ask no other host: there may be none."""

import re
from typing import Any

from playwright.async_api import Page, expect

from app.main import create_app
from app.settings import Settings

LINKS = """() => [...document.querySelectorAll("a[href]")]
  .filter((link) => link.checkVisibility()).map((link) => link.href)"""


def recording(page: Page) -> list[str]:
    """The addresses that the page asks for from here on, and those of its workers' scripts."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.removeprefix("blob:")))
    return asked


def own(url: str, page: Page) -> bool:
    base = re.sub(r"/(docs|redoc)(#.*)?$", "/", page.url)
    worker = re.sub(r"^(\w+://[^/]+/).*", r"\1[0-9a-f-]{36}$", page.url)
    return url.startswith((base, "data:")) or re.match(worker, url) is not None


async def assert_stays_here(page: Page, asked: list[str]) -> None:
    assert any(url.endswith("/openapi.json") for url in asked)
    assert [url for url in asked if not own(url, page)] == []
    links: Any = await page.evaluate(LINKS)
    assert links
    assert [url for url in links if not own(url, page)] == []


async def test_swagger_ui(blank: Page) -> None:
    asked = recording(blank)
    await blank.goto("/docs")
    routes = sum(len(each) for each in create_app(Settings()).openapi()["paths"].values())
    await expect(blank.locator(".opblock")).to_have_count(routes)
    health = blank.locator(".opblock", has_text="/api/health").first
    await health.locator(".opblock-summary-control").click()
    await health.get_by_role("button", name="Try it out").click()
    await health.get_by_role("button", name="Execute").click()
    answer = health.locator(".live-responses-table .response")
    await expect(answer).to_contain_text("200")
    await expect(answer).to_contain_text('"version"')
    await assert_stays_here(blank, asked)


async def test_redoc(blank: Page) -> None:
    asked = recording(blank)
    await blank.goto("/redoc")
    await expect(blank.locator("[data-section-id='tag/tasks']")).to_be_visible()
    await blank.get_by_role("textbox", name="Search").fill("deliveries")
    found = blank.locator("[data-role='search:results'] li")
    await expect(found.first).to_be_visible()
    await expect(blank.get_by_text("API docs by Redocly")).to_be_hidden()
    await assert_stays_here(blank, asked)
