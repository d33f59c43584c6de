"""What stands in a dialog can be used: its checkboxes, its links, its fields."""

import json
import re

from playwright.async_api import Page, expect

from tests.browser.helpers import drop_file, field, open_file, open_run, picture, run
from tests.browser.test_form import image_to_image
from tests.conftest import RunningGateway, text_to_image

MAKE = """async () => {
  const { openDialog } = await import("/static/js/page/dialog.js");
  const { el } = await import("/static/js/page/dom.js");
  const fold = el("details", {}, el("summary", { textContent: "Fold" }), "inside");
  openDialog({ textContent: "All kinds" }, [
    el("label", {}, el("input", { type: "checkbox", onclick: () => false }), "Check"),
    el("label", {}, el("input", { type: "radio", name: "one" }), "Choose"),
    el("a", { href: "#/servers", textContent: "Leave" }), fold,
  ]);
}"""


async def test_every_kind_of_control_works_in_a_dialog(blank: Page) -> None:
    await open_run(blank)
    await blank.evaluate(MAKE)
    dialog = blank.get_by_role("dialog")
    for name in ("Check", "Choose"):
        await dialog.get_by_label(name).click()
        await expect(dialog.get_by_label(name)).to_be_checked()
    await dialog.get_by_label("Check").click()
    await expect(dialog.get_by_label("Check")).not_to_be_checked()
    await dialog.get_by_text("Fold").click()
    await expect(dialog.get_by_text("inside")).to_be_visible()
    await dialog.get_by_role("link", name="Leave").click()
    await expect(blank).to_have_url(re.compile("#/servers$"))
    await expect(dialog).to_have_count(0)


async def test_a_click_beside_a_dialog_closes_it(blank: Page) -> None:
    await open_run(blank)
    await blank.get_by_role("button", name="Save as").click()
    await expect(blank.get_by_role("dialog")).to_be_visible()
    await blank.mouse.click(3, 3)
    await expect(blank.get_by_role("dialog")).to_have_count(0)


async def test_save_as_replaces_a_file_when_told_so(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    await open_file(page, json.dumps(text_to_image(steps=5)), "other.json")
    await page.get_by_role("button", name="Save as").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("File name").fill("sd15_text_to_image")
    await dialog.get_by_label("Replace the file").check()
    await dialog.get_by_role("button", name="Save").click()
    await expect(dialog).to_have_count(0)
    saved = (await gateway.http.get("/api/workflow/sd15_text_to_image.json")).json()
    assert saved["workflow"] == text_to_image(steps=5)


async def test_erase_takes_away_from_a_mask(blank: Page) -> None:
    page = blank
    await open_run(page)
    await open_file(page, json.dumps(image_to_image()))
    frame = field(page, "1.image").locator(".upload")
    await drop_file(page, frame, picture("blue"), "blue.png")
    await expect(page.get_by_label("Image", exact=True)).to_have_value("blue.png")
    await frame.get_by_role("button", name="Mask").click()
    erase = page.get_by_role("dialog").get_by_label("Erase")
    for is_on in (True, False):
        await erase.click()
        await expect(erase).to_be_checked(checked=is_on)


async def test_a_result_leads_to_its_task(blank: Page) -> None:
    await open_run(blank)
    tile = await run(blank)
    await tile.locator(".picture").first.click()
    await blank.get_by_role("dialog").get_by_role("link", name="The task").click()
    await expect(blank.locator("task-detail")).to_be_visible()
