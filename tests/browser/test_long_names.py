"""Long names on a narrow page: no control grows out of reach."""

import json

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import visitor
from tests.browser.helpers import open_run
from tests.conftest import RunningGateway, text_to_image

WIDTH = 390
LONG = "x" * 120
OUTSIDE = """(width) => [...document.querySelectorAll("button, select, input, textarea, dialog")]
  .filter((each) => each.checkVisibility() && !each.closest(".unseen, [type=file]"))
  .map((each) => [each.outerHTML.slice(0, 120), each.getBoundingClientRect()])
  .filter(([, { left, right }]) => left < 0 || right > width)
  .map(([html, { left, right }]) => `${html} ${left}-${right}`)"""


async def assert_in_reach(page: Page) -> None:
    assert await page.evaluate(OUTSIDE, WIDTH) == []


@pytest.fixture
def graph() -> dict[str, object]:
    """Its nodes have long ids and titles, as have its parameters."""
    graph = text_to_image()
    long = {old: f"{old}{LONG}" for old in graph}
    for node in graph.values():
        node["_meta"] = {"title": LONG}
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [long[value[0]], value[1]]
    return {long[old]: node for old, node in graph.items()}


async def test_of_workflows(
    browser: Browser, gateway: RunningGateway, graph: dict[str, object]
) -> None:
    name = f"{LONG}.json"
    files = {"file": (name, json.dumps(graph))}
    assert (await gateway.http.post("/api/workflow/upload", files=files)).is_success
    await gateway.submit(graph, metadata={"file": name})
    async with visitor(browser, gateway, viewport={"width": WIDTH, "height": 800}) as page:
        await page.goto("/#/tasks")
        workflows = page.locator("task-table").get_by_label("Workflow")
        await expect(workflows.locator("option")).not_to_have_count(1)
        await expect(page.locator("task-table .space > .row")).to_have_count(1)
        await assert_in_reach(page)
        await workflows.select_option(name)
        await assert_in_reach(page)
        await open_run(page, name)
        await page.locator("run-bar summary").get_by_text("Batch").click()
        choice = page.get_by_label("Parameter of the grid").first
        await choice.select_option(index=1)
        await assert_in_reach(page)
        for button in ("As code", "Versions", "Save as", "Delete"):
            await page.locator(".work").get_by_role("button", name=button).click()
            await expect(page.get_by_role("dialog")).to_be_visible()
            await assert_in_reach(page)
            await page.keyboard.press("Escape")
