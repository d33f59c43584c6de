"""What replaces values in the form can be taken back, also from elsewhere on the page."""

from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from tests.browser.helpers import QWEN, field, open_run, picture, run
from tests.conftest import RunningGateway

PRECIOUS = "typed, and saved nowhere"
Act = Callable[[Page, RunningGateway], Awaitable[None]]


async def restore(page: Page, gateway: RunningGateway) -> None:
    change = {"filename": QWEN, "params": {"3.steps": 3}}
    assert (await gateway.http.post("/api/workflow/update", json=change)).is_success
    await page.get_by_role("button", name="Versions").click()
    await page.get_by_role("dialog").get_by_role("button", name="Restore").first.click()
    await expect(page.locator("toast-list")).to_contain_text("your unsaved changes are in none")


async def use_settings(page: Page, gateway: RunningGateway) -> None:
    await page.locator("result-tile").get_by_role("button", name="Use settings").click()


async def reset(page: Page, gateway: RunningGateway) -> None:
    await page.get_by_role("button", name="Reset").click()


@pytest.mark.parametrize("act", [restore, use_settings, reset])
@pytest.mark.parametrize("is_elsewhere", [False, True])
async def test_unsaved_values_come_back(
    blank: Page, gateway: RunningGateway, act: Act, is_elsewhere: bool
) -> None:
    page = blank
    await open_run(page)
    await run(page)
    prompt = page.get_by_label("Prompt", exact=True)
    await prompt.fill(PRECIOUS)
    await act(page, gateway)
    await expect(prompt).not_to_have_value(PRECIOUS)
    if is_elsewhere:
        await page.locator("[data-part=list] a").last.click()
        await expect(page.locator("[data-part=name]").first).not_to_have_text(QWEN)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.locator("[data-part=name]").first).to_have_text(QWEN)
    await expect(prompt).to_have_value(PRECIOUS)
    saved = (await gateway.http.get(f"/api/workflow/{QWEN}")).json()
    assert saved["workflow"]["3"]["inputs"]["steps"] == (3 if act is restore else 15)
    await page.reload()
    await expect(prompt).to_have_value(PRECIOUS)


async def test_a_picture_that_was_chosen_comes_back(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    files = {"image": ("mine.png", picture("red"), "image/png")}
    assert (await gateway.http.post("/api/image/upload", files=files)).is_success
    await open_run(page, "image_to_image.json")
    await run(page)
    image = field(page, "10.image").locator("input").first
    await image.fill("mine.png")
    await image.blur()
    await page.locator(".picture").first.click()
    await page.get_by_role("dialog").get_by_role("button", name="Use as input").click()
    await expect(image).not_to_have_value("mine.png")
    await page.get_by_role("button", name="Undo").click()
    await expect(image).to_have_value("mine.png")
