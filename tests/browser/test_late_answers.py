"""What is typed while an answer is on its way is not lost, and goes where it was typed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from playwright.async_api import Page, Route, expect

from fake_comfyui.server import DemoServer
from tests.browser.helpers import QWEN, drop_file, field, open_file, open_run, picture
from tests.browser.test_form import image_to_image
from tests.conftest import RunningGateway, text_to_image, wait_until

OTHER = "sd15_text_to_image.json"


@asynccontextmanager
async def held(page: Page, url: str, method: str = "POST") -> AsyncIterator[asyncio.Event]:
    """The answers of a route come when this is left. The event: it was asked."""
    release, asked = asyncio.Event(), asyncio.Event()
    waiting: list[Route] = []

    async def wait(route: Route) -> None:
        waiting.append(route)
        if route.request.method == method:
            asked.set()
            await release.wait()
        await route.continue_()
        waiting.remove(route)

    await page.route(url, wait)
    try:
        yield asked
        await asyncio.wait_for(asked.wait(), 10)
    finally:
        release.set()
    await wait_until(lambda: not waiting)
    await page.unroute(url)


async def saved(page: Page) -> None:
    await expect(page.locator("toast-list")).to_contain_text("Saved.")


async def test_what_is_typed_during_a_save_stays_and_is_not_saved(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    await open_run(page)
    prompt = page.get_by_label("Prompt", exact=True)
    before = await page.get_by_label("Steps").input_value()
    await prompt.fill("a fox")
    await page.get_by_label("Steps").fill("7")
    async with held(page, "**/api/workflow/update") as asked:
        await page.locator("run-view [data-part=save]").click()
        await asked.wait()
        await prompt.press("End")
        await prompt.press_sequentially(" at night")
        await page.get_by_label("Steps").fill(before)  # back to what the file had
        await page.get_by_label("CFG").fill("2.5")
        await prompt.focus()
    await saved(page)
    await expect(prompt).to_have_value("a fox at night")
    await expect(prompt).to_be_focused()
    await page.keyboard.type("!")
    await expect(prompt).to_have_value("a fox at night!")
    await expect(page.get_by_label("Steps")).to_have_value(before)
    await expect(page.get_by_label("CFG")).to_have_value("2.5")
    await expect(page.locator("run-bar")).to_contain_text("3 changed")
    for key in ("3.steps", "3.cfg"):
        await expect(field(page, key)).to_have_class("changed")
    await page.locator("toast-list button").first.click()
    await page.locator("run-view [data-part=save]").click()
    await saved(page)
    await expect(page.locator("run-bar [data-part=changes]")).to_have_text("")
    told = (await gateway.http.get(f"/api/workflow/{QWEN}")).json()["parameters"]
    values = {each["key"]: each["value"] for each in told}
    assert (values["3.steps"], values["3.cfg"]) == (int(before), 2.5)
    assert "a fox at night!" in values.values()


async def test_a_save_does_not_touch_what_was_opened_meanwhile(blank: Page) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("7")
    async with held(page, "**/api/workflow/update") as asked:
        await page.locator("run-view [data-part=save]").click()
        await asked.wait()
        await page.get_by_label("CFG").fill("2.5")
        await page.locator("[data-part=list] a", has_text=OTHER.removesuffix(".json")).click()
        await expect(page.locator("[data-part=name]").first).to_have_text(OTHER)
        await page.get_by_label("Steps").fill("9")
        keys = await page.locator("parameter-field").count()
    await saved(page)
    await expect(page.get_by_label("Steps")).to_have_value("9")
    assert await page.locator("parameter-field").count() == keys
    await expect(page.locator("run-bar")).to_contain_text("1 changed")
    await page.locator("[data-part=list] a", has_text=QWEN.removesuffix(".json")).click()
    await expect(page.get_by_label("CFG")).to_have_value("2.5")
    await expect(page.get_by_label("Steps")).to_have_value("7")
    await expect(page.locator("run-bar")).to_contain_text("1 changed")


async def test_who_goes_back_before_a_workflow_has_come_stays(blank: Page) -> None:
    page = blank
    await open_run(page)
    async with held(page, f"**/api/workflow/{OTHER}", "GET") as asked:
        await page.locator("[data-part=list] a", has_text=OTHER.removesuffix(".json")).click()
        await asked.wait()
        async with page.expect_response(f"**/api/workflow/{QWEN}"):
            await page.go_back()
    await page.get_by_label("Steps").fill("7")
    await expect(page.locator("[data-part=name]").first).to_have_text(QWEN)
    assert page.url.endswith(QWEN)


async def test_what_the_page_opens_by_itself_gives_way_to_a_file(blank: Page) -> None:
    """As when it begins with the first of the library, and a file is opened in that moment."""
    page = blank
    await open_run(page)
    async with held(page, f"**/api/workflow/{OTHER}", "GET"):
        await page.evaluate(
            """async ([other, text]) => {
              const { go } = await import("/static/js/page/router.js");
              const { workspace } = await import("/static/js/run/workspace.js");
              go("run", other, true);
              window.opening = workspace.open({ text, name: "mine.json" });
            }""",
            [OTHER, json.dumps(text_to_image())],
        )
    assert await page.evaluate("opening")
    await expect(page.locator("[data-part=name]").first).to_have_text("mine.json")


async def test_a_server_that_comes_back_does_not_hold_up_what_is_on_its_way(
    blank: Page, demo: DemoServer
) -> None:
    page = blank
    await open_run(page)
    async with held(page, f"**/api/workflow/{OTHER}", "GET") as asked:
        await page.locator("[data-part=list] a", has_text=OTHER.removesuffix(".json")).click()
        await asked.wait()
        await page.evaluate(
            """async () => {
              const { health } = await import("/static/js/api/health.js");
              const tell = (online) => health.dispatchEvent(
                new CustomEvent("health", { detail: { ...health.last, servers: [{ online }] } }));
              tell(false);
              tell(true);
            }"""
        )
    await expect(page.locator("[data-part=name]").first).to_have_text(OTHER)


async def leave(page: Page, workflow: str = OTHER) -> None:
    """By the address, as the browser's own Back does: also with a dialog open."""
    await page.evaluate("place => void (location.hash = place)", f"#/run/{workflow}")
    await expect(page.locator("[data-part=name]").first).to_have_text(workflow)


@pytest.mark.parametrize("name", ["Delete", "Reset"])
async def test_an_act_whose_code_comes_late_is_for_what_was_open(blank: Page, name: str) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("7")
    await open_file(page, json.dumps(text_to_image()), "one.json")
    await expect(page.locator("[data-part=name]").first).to_have_text("one.json")
    text = field(page, "6.text").locator("textarea, input").first
    await text.fill("an owl")
    async with held(page, "**/static/js/run/undo.js*", "GET") as asked:
        await page.locator("run-view").get_by_role("button", name=name, exact=True).click()
        await asked.wait()
        await leave(page, QWEN)
    await page.evaluate("import('/static/js/run/undo.js')")
    await expect(page.get_by_label("Steps")).to_have_value("7")
    await page.locator("[data-part=drafts] a").click()
    await expect(text).to_have_value("an owl")


async def test_a_version_that_comes_back_late_leaves_alone_what_is_open(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    before = (await gateway.http.get(f"/api/workflow/{QWEN}")).json()["workflow"]
    await open_run(page)
    await page.get_by_label("Steps").fill("7")
    await page.locator("run-view [data-part=save]").click()
    await saved(page)
    await page.get_by_role("button", name="Versions").click()
    restore = page.get_by_role("dialog").get_by_role("button", name="Restore")
    await expect(restore).to_have_count(1)
    async with held(page, f"**/api/workflow/{QWEN}/versions", "GET") as asked:
        await restore.click()
        await asked.wait()
        await leave(page)
        await expect(page.get_by_role("dialog")).to_have_count(0)
        keys = await page.locator("parameter-field").count()
    await expect(page.locator("toast-list")).to_contain_text("Restored")
    assert (await gateway.http.get(f"/api/workflow/{QWEN}")).json()["workflow"] == before
    assert await page.locator("parameter-field").count() == keys
    await page.reload()
    await expect(page.locator("[data-part=name]").first).to_have_text(OTHER)
    assert await page.locator("parameter-field").count() == keys


async def test_a_save_that_is_refused_late_does_not_save_another_workflow(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("7")
    async with held(page, "**/api/workflow/update") as asked:
        await page.locator("run-view [data-part=save]").click()
        await asked.wait()
        body = {"filename": QWEN, "params": {"3.steps": 9}}
        assert (await gateway.http.post("/api/workflow/update", json=body)).status_code == 200
        await leave(page)
    await expect(page.locator("toast-list [role=alert], toast-list > div")).to_have_count(1)
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await leave(page, QWEN)
    await expect(page.get_by_label("Steps")).to_have_value("7")


async def test_a_late_delete_leaves_open_what_was_opened_meanwhile(blank: Page) -> None:
    page = blank
    await open_run(page)
    await page.locator("run-view").get_by_role("button", name="Delete").click()
    async with held(page, f"**/api/workflow/{QWEN}", "DELETE") as asked:
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await asked.wait()
        await leave(page)
    await expect(page.locator("toast-list")).to_contain_text(QWEN)
    await expect(page.locator("[data-part=name]").first).to_have_text(OTHER)


async def test_a_workflow_that_is_read_anew_keeps_what_is_typed(blank: Page) -> None:
    """As when a server comes back; in a browser that stores nothing, too."""
    page = blank
    await page.add_init_script("Storage.prototype.setItem = () => { throw new Error('full'); };")
    await open_run(page)
    prompt = page.get_by_label("Prompt", exact=True)
    await page.get_by_label("Steps").fill("")
    async with held(page, f"**/api/workflow/{QWEN}", "GET"):
        await page.evaluate(
            """async () => {
              const { workspace } = await import("/static/js/run/workspace.js");
              window.again = workspace.open(workspace.source);
            }"""
        )
        await prompt.fill("a fox")
    await page.evaluate("again")
    await expect(prompt).to_be_focused()
    await page.keyboard.type("es")
    await expect(prompt).to_have_value("a foxes")
    await expect(page.get_by_label("Steps")).to_have_value("")


async def test_a_save_as_takes_along_what_was_typed_meanwhile(blank: Page) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("7")
    await page.get_by_role("button", name="Save as").click()
    await page.get_by_label("File name").fill("mine")
    async with held(page, "**/api/workflow/upload") as asked:
        await page.get_by_role("dialog").get_by_role("button", name="Save", exact=True).click()
        await asked.wait()
        await page.keyboard.press("Escape")
        await page.get_by_label("CFG").fill("2.5")
    await expect(page.locator("[data-part=name]").first).to_have_text("mine.json")
    await expect(page.get_by_label("CFG")).to_have_value("2.5")
    await expect(page.get_by_label("Steps")).to_have_value("7")
    await expect(page.locator("run-bar")).to_contain_text("1 changed")
    await page.locator("[data-part=list] a", has_text=QWEN.removesuffix(".json")).click()
    await expect(page.locator("[data-part=name]").first).to_have_text(QWEN)
    await expect(page.locator("run-bar [data-part=changes]")).to_have_text("")


async def test_an_upload_goes_where_it_was_chosen_and_not_over_what_came_later(
    blank: Page,
) -> None:
    page = blank
    await open_run(page)
    await open_file(page, json.dumps(image_to_image()), "one.json")
    file = field(page, "1.image")
    name = file.locator("input[type=text]")
    async with held(page, "**/api/image/upload") as asked:
        await drop_file(page, file.locator(".upload"), picture("red"), "late.png")
        await asked.wait()
        await name.fill("example.png")
        await name.press("Tab")
    await expect(file.locator(".upload")).not_to_have_attribute("aria-busy", "true")
    await expect(name).to_have_value("example.png")
    async with held(page, "**/api/image/upload") as asked:
        await drop_file(page, file.locator(".upload"), picture("blue"), "blue.png")
        await asked.wait()
        await open_file(page, json.dumps(image_to_image()), "two.json")
        await expect(page.locator("[data-part=name]").first).to_have_text("two.json")
    await page.locator("[data-part=drafts] a").filter(has_text="one").click()
    await expect(page.locator("[data-part=name]").first).to_have_text("one.json")
    await expect(name).to_have_value("blue.png")
    await page.locator("[data-part=drafts] a").filter(has_text="two").click()
    await expect(page.locator("[data-part=name]").first).to_have_text("two.json")
    await expect(name).to_have_value("example.png")


async def test_slots_and_a_new_server_keep_what_is_typed_meanwhile(
    blank: Page, demo: DemoServer
) -> None:
    page = blank
    await page.goto("/#/servers")
    slots = page.get_by_role("article", name=demo.address).get_by_label("Slots")
    await expect(slots).not_to_have_value("")
    async with held(page, "**/api/servers/*", "PATCH") as asked:
        await slots.fill("5")
        await slots.press("Enter")
        await asked.wait()
        await slots.fill("7")
        # Without leaving it: a change that nobody has finished, while the focus is elsewhere.
        await slots.evaluate("(input) => { input.onchange = null; input.blur(); }")
    await expect(page.get_by_role("article").first).to_contain_text("of 5 slots")
    await expect(slots).to_have_value("7")
    form = page.locator("server-panel form.add")
    async with DemoServer() as other:
        await form.get_by_label("Address").fill(other.address)
        async with held(page, "**/api/servers") as asked:
            await form.get_by_role("button", name="Add server").click()
            await asked.wait()
            await form.get_by_label("Address").fill("10.0.0.9")
        await expect(page.get_by_role("article", name=other.address)).to_be_visible()
        await expect(form.get_by_label("Address")).to_have_value("10.0.0.9")
