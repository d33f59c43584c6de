"""The form: sizes, choices, uploads with a mask, faults beside their fields, saving."""

import io
import json

from PIL import Image
from playwright.async_api import Page, expect

from tests.browser.conftest import HOSTILE
from tests.browser.helpers import (
    QWEN,
    drop_file,
    field,
    open_file,
    open_run,
    paste_file,
    picture,
    run,
)
from tests.conftest import Json, RunningGateway, text_to_image


def image_to_image() -> Json:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "i"}},
    }


async def test_size_has_a_ratio_and_turns(blank: Page) -> None:
    await open_run(blank)
    width, height = (
        blank.get_by_label("Width", exact=True),
        blank.get_by_label("Height", exact=True),
    )
    ratio = blank.get_by_label("Ratio")
    for side in (width, height):
        await side.fill("1024")
    await expect(ratio).to_have_value("1:1")
    await ratio.select_option("16:9")
    await expect(width).to_have_value("1360")
    await expect(height).to_have_value("768")
    await blank.get_by_role("button", name="Turn: swap width and height").click()
    await expect(width).to_have_value("768")
    await expect(ratio).to_have_value("9:16")
    await width.fill("1111")
    await expect(ratio).to_have_value("")
    await expect(field(blank, "58.width")).to_have_class("changed")


async def test_choices_are_searched(blank: Page, gateway: RunningGateway) -> None:
    await open_run(blank)
    box = blank.get_by_role("combobox", name="Sampler")
    await box.click()
    options = field(blank, "3.sampler_name").get_by_role("option")
    assert await options.count() > 12
    await expect(options.filter(has_text="euler").first).to_have_attribute("aria-selected", "true")
    await box.fill("sde gpu")
    for option in await options.all_text_contents():
        assert "sde" in option
        assert "gpu" in option
    await blank.keyboard.press("ArrowDown")
    chosen = await options.nth(1).text_content() or ""
    await blank.keyboard.press("Enter")
    await expect(box).to_have_value(chosen)
    await box.fill("no such sampler")
    await blank.keyboard.press("Escape")
    await expect(box).to_have_value(chosen)
    task_id = await (await run(blank)).get_attribute("data-id")
    assert (await gateway.task(task_id or ""))["params"]["3.sampler_name"] == chosen


async def test_faults_stand_beside_the_fields_that_they_name(blank: Page) -> None:
    await open_run(blank)
    steps = blank.get_by_label("Steps")
    await steps.fill("0")
    fault = field(blank, "3.steps").locator(".error")
    await expect(fault).to_have_text("At least 1.")
    await blank.keyboard.press("Control+Enter")
    await expect(steps).to_be_focused()
    await expect(blank.locator("result-tile")).to_have_count(0)
    await steps.fill("4")
    await expect(fault).to_be_hidden()
    # What only the gateway can know: a choice that has gone, as a draft of yesterday may hold it.
    await blank.evaluate(
        """import("/static/js/run/workspace.js")
          .then(({ workspace }) => workspace.set("3.scheduler", "gone"))"""
    )
    await blank.keyboard.press("Control+Enter")
    await expect(field(blank, "3.scheduler").locator(".error")).to_contain_text("gone")
    await expect(blank.get_by_label("Scheduler")).to_be_focused()
    await expect(blank.get_by_label("Scheduler")).to_have_attribute("aria-invalid", "true")
    await expect(blank.locator("run-bar problem-box")).to_contain_text("marked")


async def test_what_has_no_field_is_told_in_full(blank: Page) -> None:
    await open_run(blank)
    graph = image_to_image()
    graph["2"]["class_type"] = HOSTILE
    await open_file(blank, json.dumps(graph))
    await expect(blank.locator("[data-part=format]")).to_contain_text("not saved")
    await blank.keyboard.press("Control+Enter")
    problem = blank.locator("run-bar problem-box")
    await expect(problem).to_contain_text("<img src=x")
    await expect(blank.locator('img[src="x"]')).to_have_count(0)


async def test_inputs_come_by_drop_and_paste_and_get_a_mask(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    await open_run(page)
    await open_file(page, json.dumps(image_to_image()))
    frame = field(page, "1.image").locator(".upload")
    preview = frame.locator("img")
    await drop_file(page, frame, picture("red"), "red.png")
    await expect(page.get_by_label("Image", exact=True)).to_have_value("red.png")
    await expect(preview).to_be_visible()
    await paste_file(page, frame, picture("blue"), "blue.png")
    await expect(page.get_by_label("Image", exact=True)).to_have_value("blue.png")

    await frame.get_by_role("button", name="Mask").click()
    easel = page.locator("canvas.paint")
    box = await easel.bounding_box()
    assert box
    await page.mouse.move(box["x"] + box["width"] * 0.25, box["y"] + box["height"] / 2)
    await page.mouse.down()
    await page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] / 2, steps=3)
    await page.mouse.up()
    await page.get_by_role("button", name="Use this mask").click()
    await expect(page.get_by_label("Image", exact=True)).not_to_have_value("blue.png")
    name = await page.get_by_label("Image", exact=True).input_value()
    answer = await gateway.http.get(f"/api/image/{name}", params={"type": "input"})
    masked = Image.open(io.BytesIO(answer.content)).convert("RGBA")
    middle = masked.height // 2
    assert masked.getpixel((masked.width // 4, middle)) == (0, 0, 255, 0)
    assert masked.getpixel((masked.width - 2, middle)) == (0, 0, 255, 255)
    await run(page)


async def test_save_back_with_versions(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("9")
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.locator("run-bar")).not_to_contain_text("changed")
    saved = (await gateway.http.get(f"/api/workflow/{QWEN}")).json()
    assert saved["workflow"]["3"]["inputs"]["steps"] == 9

    await page.get_by_role("button", name="Versions").click()
    await page.get_by_role("dialog").get_by_role("button", name="Look").first.click()
    await expect(page.locator("[data-part=format]")).to_contain_text("not saved")
    await expect(page.get_by_label("Steps")).to_have_value("15")
    await page.locator("[data-part=list] a", has_text="qwen_t2i_distill").click()
    await page.get_by_role("button", name="Versions").click()
    await page.get_by_role("dialog").get_by_role("button", name="Restore").first.click()
    await expect(page.get_by_label("Steps")).to_have_value("15")


async def test_a_file_that_others_saved_is_not_overwritten_unasked(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("9")
    other = {"filename": QWEN, "params": {"3.steps": 3}}
    assert (await gateway.http.post("/api/workflow/update", json=other)).is_success
    await page.get_by_role("button", name="Save", exact=True).click()
    await expect(page.get_by_role("dialog")).to_contain_text("changed meanwhile")
    await page.get_by_role("button", name="Save all the same").click()
    await expect(page.locator("run-bar")).not_to_contain_text("changed")
    saved = (await gateway.http.get(f"/api/workflow/{QWEN}")).json()
    assert saved["workflow"]["3"]["inputs"]["steps"] == 9


async def test_save_as_new_delete_and_undo(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    seed = 2**63 + 1
    await open_run(page)
    await open_file(page, json.dumps(text_to_image(seed=seed)), "other.json")
    await expect(page.get_by_label("Seed", exact=True)).to_have_value(str(seed))  # it is open
    await page.get_by_label("Steps").fill("6")
    await page.get_by_role("button", name="Save as").click()
    await page.get_by_label("File name").fill(QWEN)
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(page.get_by_role("dialog").get_by_role("alert")).to_contain_text(QWEN)
    await page.get_by_label("File name").fill("mine (2)")
    await page.get_by_role("dialog").get_by_role("button", name="Save").click()
    await expect(page.get_by_role("link", name="mine (2)")).to_be_visible()
    saved = (await gateway.http.get("/api/workflow/mine (2).json")).json()
    assert saved["workflow"]["3"]["inputs"]["steps"] == 6
    assert saved["workflow"]["3"]["inputs"]["seed"] == seed
    await page.get_by_role("button", name="Delete", exact=True).click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("link", name="mine (2)")).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_role("link", name="mine (2)")).to_be_visible()
    await expect(page.get_by_label("Steps")).to_have_value("6")


async def test_workflows_come_by_drop_paste_and_picture(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    await open_run(page)
    tile = await run(page)
    task = await gateway.task(await tile.get_attribute("data-id") or "")
    original = await gateway.http.get(task["outputs"][0]["url"])
    await drop_file(page, page.locator("body"), original.content, "result.png")
    await expect(page.get_by_role("link", name="result")).to_be_visible()
    await expect(page.locator("[data-part=name]").first).to_have_text("result.json")
    await page.get_by_text("Paste JSON").click()
    await page.get_by_label("Workflow as JSON").fill(json.dumps(text_to_image(steps=3)))
    await expect(page.get_by_label("Steps")).to_have_value("3")
    await drop_file(page, page.locator("body"), "{", "broken.json")
    await expect(page.locator("toast-list")).to_contain_text("broken.json is not JSON")
    await page.get_by_role("searchbox").fill("sd15")
    await expect(page.locator("workflow-library li:visible")).to_have_count(1)
