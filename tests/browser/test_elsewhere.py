"""What others delete meanwhile goes from the page, and what is then refused says why."""

import pytest
from playwright.async_api import Browser, Page, expect

from tests.browser.conftest import visitor
from tests.browser.helpers import QWEN, open_run
from tests.conftest import RunningGateway, text_to_image

LOOKED_AT_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"


@pytest.mark.parametrize("place", ["", "/{id}"], ids=["row", "detail"])
async def test_a_task_that_was_deleted(
    browser: Browser, gateway: RunningGateway, place: str
) -> None:
    task = await gateway.submit(text_to_image())
    async with visitor(browser, gateway, expected=lambda fault: "404" in fault) as page:
        await page.goto("/#/tasks" + place.format(id=task["task_id"]))
        part = page.locator(
            "task-detail header, task-detail .buttons" if place else ".space > .row"
        )
        retry = part.get_by_role("button", name="Retry").last
        await expect(retry).to_be_visible()
        await gateway.http.delete(f"/api/task/{task['task_id']}")
        await retry.click()
        await expect(page.locator("toast-list")).to_contain_text("deleted elsewhere")
        await expect(page.locator("task-table .space > .row")).to_have_count(0)


async def test_what_is_gone_when_the_page_is_looked_at_again(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    task = await gateway.submit(text_to_image())
    await open_run(page)
    await page.get_by_label("Which results").select_option("all")
    await expect(page.locator("result-tile .picture img")).to_have_js_property("complete", True)
    kept = page.locator("workflow-library [data-part=list] a", has_text="upscale")
    await expect(kept).to_have_count(1)
    await gateway.http.delete(f"/api/task/{task['task_id']}")
    await gateway.http.delete("/api/workflow/upscale.json")
    await page.evaluate(LOOKED_AT_AGAIN)
    await expect(page.locator("result-tile")).to_have_count(0)
    await expect(kept).to_have_count(0)
    await expect(page.get_by_role("heading", name=QWEN).last).to_be_visible()
