"""The gallery: cancel, retry, delete, settings of old results, large view, comparison, ZIP."""

import io
import zipfile

from playwright.async_api import Locator, Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.helpers import QWEN, field, open_run, run
from tests.conftest import Json, RunningGateway, text_to_image


async def start(page: Page) -> Locator:
    before = await page.locator("result-tile").count()
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("result-tile")).to_have_count(before + 1)
    return page.locator("result-tile").first


async def known(page: Page, tile: Locator) -> Locator:
    """The tile wherever it is: what ends goes behind what runs."""
    return page.locator(f"result-tile[data-id='{await tile.get_attribute('data-id')}']")


async def test_cancel_retry_and_delete(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    page = blank
    demo.knobs.step_seconds = 2
    await open_run(page)
    running = await known(page, await start(page))
    await expect(running).to_have_attribute("data-status", "running")
    await expect(page.locator("run-bar")).to_contain_text("1 running")
    waiting = await known(page, await start(page))
    await expect(waiting).to_contain_text("number 1 in the queue")
    await waiting.get_by_role("button", name="Cancel").click()
    await expect(waiting).to_have_attribute("data-status", "canceled")
    await running.get_by_role("button", name="Cancel").click()
    await expect(running).to_have_attribute("data-status", "canceled")

    demo.knobs.step_seconds = 0.01
    await waiting.get_by_role("button", name="Retry").click()
    await expect(page.locator("result-tile")).to_have_count(3)
    again = await known(page, page.locator("result-tile").first)
    await expect(again).to_have_attribute("data-status", "succeeded")
    task = await gateway.task(await again.get_attribute("data-id") or "")
    assert task["retry_of"] == await waiting.get_attribute("data-id")
    # A picture that is still being loaded when it is deleted is a 404 on the console.
    await expect(again.locator(".picture img")).to_have_js_property("complete", True)
    await again.get_by_role("button", name="Delete this result").click()
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(again).to_be_visible()
    await again.get_by_role("button", name="Delete this result").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(page.locator("result-tile")).to_have_count(2)
    answer = await gateway.http.get(f"/api/task/{task['task_id']}")
    assert answer.status_code == 404


async def test_settings_of_an_old_result_come_back(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("3")
    await page.get_by_label("Prompt", exact=True).fill("a fox")
    old = await run(page)
    task = await gateway.task(await old.get_attribute("data-id") or "")
    await page.get_by_label("Steps").fill("5")
    await page.get_by_label("CFG").fill("2")
    await page.get_by_label("Prompt", exact=True).fill("an owl")
    await old.get_by_role("button", name="Use settings").click()
    await expect(page.get_by_label("Steps")).to_have_value("3")
    await expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    await expect(page.get_by_label("CFG")).to_have_value("1")
    await expect(page.get_by_label("Seed", exact=True)).to_have_value(str(task["params"]["3.seed"]))

    # From another workflow: it is opened with them.
    await page.get_by_role("link", name="sd15_text_to_image").click()
    await expect(page.locator("[data-part=name]").first).to_have_text("sd15_text_to_image.json")
    await page.get_by_label("Which results").select_option("all")
    await page.get_by_role("button", name="Use settings").click()
    await expect(page.locator("[data-part=name]").first).to_have_text(QWEN)
    await expect(field(page, "3.steps")).to_have_class("changed")
    assert page.url.endswith(f"#/run/{QWEN}")


async def test_large_with_arrows_download_and_zip(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    first = await run(page)
    name = await first.locator(".picture").get_attribute("title") or ""
    await run(page)
    await page.locator("result-tile .picture").first.click()
    dialog = page.get_by_role("dialog")
    await expect(dialog.locator(".stage img")).to_be_visible()
    await page.keyboard.press("ArrowRight")
    await expect(dialog.get_by_role("heading", level=2)).to_have_text(name)
    async with page.expect_download() as picture:
        await dialog.get_by_role("button", name="Download").click()
    assert (await picture.value).suggested_filename == name
    async with page.expect_download() as archive:
        await dialog.get_by_role("button", name="All as ZIP").click()
    content = io.BytesIO((await (await archive.value).path()).read_bytes())
    assert zipfile.ZipFile(content).namelist() == [name]
    async with page.expect_download() as clean:
        await dialog.get_by_role("button", name="Without the workflow in it").click()
    assert b"CLIPTextEncode" not in (await (await clean.value).path()).read_bytes()
    await page.keyboard.press("Escape")
    await expect(dialog).to_have_count(0)


async def test_two_are_compared_under_a_slider(blank: Page) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("CFG").fill("1")
    await run(page)
    await page.get_by_label("CFG").fill("3")
    await run(page)
    compare = page.get_by_role("button", name="Compare two")
    await expect(compare).to_be_disabled()
    for tile in await page.locator("result-tile").all():
        await tile.hover()
        await tile.get_by_label("Compare").check()
    await compare.click()
    dialog = page.get_by_role("dialog")
    slider = dialog.get_by_role("slider")
    await expect(slider).to_be_focused()
    row = dialog.get_by_role("row", name="KSampler #3 · cfg")
    await expect(row.get_by_role("cell")).to_have_text(["1", "3"])
    over = dialog.locator(".over")
    for key, place in (("Home", "0%"), ("End", "100%")):
        await page.keyboard.press(key)
        await expect(dialog.locator(".versus")).to_have_attribute("style", f"--at: {place};")
    shape = "image => getComputedStyle(image).clipPath"
    assert await over.evaluate(shape) == "inset(0px 0% 0px 0px)"
    await page.keyboard.press("Escape")
    await expect(compare).to_be_disabled()


async def test_what_is_compared_is_what_ran(blank: Page, gateway: RunningGateway) -> None:
    """Of graphs without parameters, and of graphs that have not the same nodes."""
    first, second = text_to_image(text="a fox"), text_to_image(text="a hare")
    second["12"] = second.pop("7")
    second["3"]["inputs"]["negative"] = ["12", 0]
    for graph in (first, second):
        await gateway.submit(graph)
    await open_run(blank)
    await blank.get_by_label("Which results").select_option("all")
    for tile in await two_tiles(blank):
        await tile.hover()
        await tile.get_by_label("Compare").check()
    await blank.get_by_role("button", name="Compare two").click()
    dialog = blank.get_by_role("dialog")
    told = {
        "CLIPTextEncode #6 · text": ["a fox", "a hare"],
        "#7": ["CLIPTextEncode #7", "no such node"],
        "#12": ["no such node", "CLIPTextEncode #12"],
        "KSampler #3 · negative": ["→ CLIPTextEncode #7 [0]", "→ CLIPTextEncode #12 [0]"],
    }
    await expect(dialog.locator("tbody tr")).to_have_count(len(told))
    for name, cells in told.items():
        row = dialog.get_by_role("row").filter(
            has=blank.get_by_role("rowheader", name=name, exact=True)
        )
        await expect(row.get_by_role("cell")).to_have_text(cells)


async def two_tiles(page: Page) -> list[Locator]:
    await expect(page.locator("result-tile")).to_have_count(2)
    return await page.locator("result-tile").all()


async def test_what_is_clicked_does_not_wait_for_pictures(
    blank: Page, gateway: RunningGateway
) -> None:
    """A browser has six connections, and making small pictures takes the gateway a while."""
    for seed in range(2):
        await gateway.submit(text_to_image(seed=seed))
    pictures, raised = set(), set()
    session = await blank.context.new_cdp_session(blank)
    await session.send("Network.enable")

    def note(asked: Json) -> None:
        if "width=" in asked["request"]["url"]:
            pictures.add(asked["requestId"])

    session.on("Network.requestWillBeSent", note)
    session.on("Network.resourceChangedPriority", lambda told: raised.add(told["requestId"]))
    await open_run(blank)
    await blank.get_by_label("Which results").select_option("all")
    await expect(blank.locator("result-tile .picture img")).to_have_count(2)
    await blank.get_by_role("link", name="Tasks").click()
    rows = blank.locator("task-table .pictures img")
    await expect(rows).to_have_count(2)
    for picture in await rows.all():
        await expect(picture).not_to_have_js_property("naturalWidth", 0)
    assert len(pictures) == 4
    assert not pictures & raised


async def test_more_of_a_workflow_is_found_behind_many_others(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 0
    form = {"filename": QWEN, "params": {"steps": 2}}
    await gateway.http.post("/api/workflow/submit?wait=60", json=form)
    demo.knobs.stall = True
    for _ in range(2):
        seeds = {"3.seed": list(range(90))}
        batch = await gateway.submit(text_to_image(), batch=seeds, wait=0)
        await gateway.http.post(f"/api/batch/{batch['batch_id']}/cancel")
    await blank.goto(f"/#/run/{QWEN}")
    more = blank.get_by_role("button", name="Load more")
    await expect(blank.locator("result-tile")).to_have_count(0)
    await more.click()
    await expect(blank.locator("result-tile")).to_have_count(1)
    await expect(more).to_be_hidden()
    demo.knobs.stall = False
