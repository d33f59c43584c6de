"""Unsaved work: it lasts until it is saved or discarded, and is nobody else's."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from playwright.async_api import Browser, BrowserContext, Page, expect

from app.auth.secrets import hash_of, new_key
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.browser.conftest import WAIT, on_loop, watch
from tests.browser.helpers import QWEN, field, open_file, open_run
from tests.conftest import ROOT, RunningGateway, run_gateway, text_to_image

KEYS = {name: new_key() for name in ("anna", "ben")}


@on_loop
async def browsing(browser: Browser, gateway: RunningGateway) -> AsyncIterator[BrowserContext]:
    """One browser, in which tabs come and go."""
    async with await browser.new_context(
        locale="en-US", base_url=f"http://{gateway.address}"
    ) as context:
        context.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        yield context


async def fill_all(page: Page) -> None:
    """Settings and a batch of a saved workflow, and two that were opened, one of them changed."""
    await open_run(page)
    await page.get_by_label("Prompt", exact=True).fill("a fox")
    await page.locator("run-bar summary").get_by_text("Batch").click()
    await page.get_by_label("Seeds").fill("3")
    await page.get_by_label("Parameter of the grid").first.select_option("3.steps")
    await page.get_by_label("One value a line").first.fill("2\n4")
    for name in ("one.json", "two.json"):
        await open_file(page, json.dumps(text_to_image(text=name)), name)
        await expect(page.locator("[data-part=name]").first).to_have_text(name)
    await field(page, "6.text").locator("textarea, input").first.fill("an owl")


async def assert_all_there(page: Page) -> None:
    text = field(page, "6.text").locator("textarea, input").first
    await expect(page.locator("[data-part=name]").first).to_have_text("two.json")
    await expect(text).to_have_value("an owl")
    unsaved = page.locator("[data-part=drafts] a")
    await expect(unsaved).to_have_count(2)
    await unsaved.filter(has_text="one").click()
    await expect(page.locator("[data-part=name]").first).to_have_text("one.json")
    await expect(text).to_have_value("one.json")
    await page.locator("[data-part=list] a", has_text=QWEN.removesuffix(".json")).click()
    await expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    await expect(page.get_by_label("Seeds")).to_have_value("3")
    await expect(page.get_by_label("One value a line").first).to_have_value("2\n4")
    await expect(page.get_by_role("button", name="Run 6")).to_be_enabled()


async def test_it_survives_other_workflows_back_reload_and_a_closed_tab(
    browsing: BrowserContext,
) -> None:
    page = await browsing.new_page()
    faults = watch(page)
    await fill_all(page)
    await page.locator("[data-part=list] a").last.click()
    await expect(page.locator("[data-part=name]").first).not_to_have_text("two.json")
    await page.go_back()
    await assert_all_there(page)
    await page.go_back()  # to the one that was opened first
    await expect(page.locator("[data-part=name]").first).to_have_text("one.json")
    await page.go_back()
    await expect(page.locator("[data-part=name]").first).to_have_text("two.json")
    await page.reload()
    await assert_all_there(page)
    await page.locator("[data-part=drafts] a").filter(has_text="two").click()
    await expect(page.locator("[data-part=name]").first).to_have_text("two.json")
    await page.close()
    page = await browsing.new_page()
    faults += watch(page)
    await page.goto("/")
    await assert_all_there(page)
    assert faults == []


async def test_it_can_be_discarded_and_that_undone(browsing: BrowserContext) -> None:
    page = await browsing.new_page()
    await fill_all(page)
    text = field(page, "6.text").locator("textarea, input").first
    await page.get_by_role("button", name="Reset").click()
    await expect(text).to_have_value("two.json")
    await page.get_by_role("button", name="Undo").click()
    await expect(text).to_have_value("an owl")
    await page.locator("run-view").get_by_role("button", name="Delete").click()
    await expect(page.locator("[data-part=drafts] a")).to_have_count(1)
    await page.get_by_role("button", name="Undo").last.click()
    await expect(page.locator("[data-part=drafts] a")).to_have_count(2)
    await expect(text).to_have_value("an owl")
    await page.locator("run-view").get_by_role("button", name="Delete").click()
    await expect(page.locator("[data-part=drafts] a")).to_have_count(1)
    await open_run(page)
    await page.get_by_role("button", name="Reset").click()
    await expect(page.get_by_label("Prompt", exact=True)).not_to_have_value("a fox")
    await expect(page.get_by_role("button", name="Run", exact=True)).to_be_enabled()
    await page.close()
    page = await browsing.new_page()
    await open_run(page)
    await expect(page.locator("[data-part=drafts] a")).to_have_count(1)
    await expect(page.get_by_label("Prompt", exact=True)).not_to_have_value("a fox")
    await expect(page.get_by_role("button", name="Reset")).to_be_hidden()


async def test_two_tabs_keep_their_own_and_tell_of_the_other(browsing: BrowserContext) -> None:
    one, two = await browsing.new_page(), await browsing.new_page()
    for page in (one, two):
        await open_run(page)
    await one.get_by_label("Prompt", exact=True).fill("of one")
    await one.get_by_label("Steps").fill("3")
    await two.get_by_label("Prompt", exact=True).fill("of two")
    take = one.get_by_role("button", name="Take the newer changes")
    await expect(take).to_be_visible()
    await expect(one.get_by_label("Prompt", exact=True)).to_have_value("of one")
    await one.reload()
    await expect(one.get_by_label("Prompt", exact=True)).to_have_value("of one")
    third = await browsing.new_page()
    await open_run(third)
    await expect(third.get_by_label("Prompt", exact=True)).to_have_value("of two")
    await expect(third.get_by_label("Steps")).to_have_value("3")
    await take.click()
    await expect(one.get_by_label("Prompt", exact=True)).to_have_value("of two")
    await expect(one.get_by_label("Steps")).to_have_value("3")
    await expect(take).to_be_hidden()
    await one.get_by_role("button", name="Undo").click()
    await expect(one.get_by_label("Prompt", exact=True)).to_have_value("of one")


async def test_a_full_storage_breaks_nothing(browsing: BrowserContext) -> None:
    page = await browsing.new_page()
    await page.goto("/")  # a page without an icon of its own is asked for /favicon.ico, some time
    await page.evaluate("for (const at of [1, 2, 3, 4]) localStorage[`x${at}`] = 'x'.repeat(1.2e6)")
    faults = watch(page)
    await page.reload()
    for number in range(4):
        graph = text_to_image(text=f"{number}" * 200_000)
        await open_file(page, json.dumps(graph), f"{number}.json")
        await expect(page.locator("[data-part=name]").first).to_have_text(f"{number}.json")
    await page.get_by_label("Steps").fill("17")
    await expect(page.locator("run-bar")).to_contain_text("1 changed")
    assert faults == []


async def test_the_oldest_make_room(browsing: BrowserContext) -> None:
    page = await browsing.new_page()
    await open_run(page)
    kept = await page.evaluate(
        """async () => {
          const { drafts } = await import("/static/js/run/drafts.js");
          for (let at = 0; at < 60; at += 1) {
            drafts.putText(`~${at}`, "x".repeat(90_000));
            drafts.put({ id: `~${at}`, name: "n", values: {}, batch: null }, []);
            await new Promise((done) => setTimeout(done, 2));
          }
          const size = Object.entries(localStorage).flat().join("").length;
          return { ids: drafts.list().map(({ id }) => id), size };
        }"""
    )
    assert kept["size"] < 3_200_000
    assert 20 < len(kept["ids"]) <= 50
    assert kept["ids"] == [f"~{at}" for at in range(59, 59 - len(kept["ids"]), -1)]


async def test_what_was_written_with_one_key_is_not_shown_to_another(
    browser: Browser, demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> None:
    keys = [{"name": name, "hash": hash_of(key), "scope": "manage"} for name, key in KEYS.items()]
    (tmp_path / "workflows").symlink_to(ROOT / "workflows")
    async with (
        run_gateway(settings_for(demo.address, api_keys=json.dumps(keys))) as running,
        await browser.new_context(locale="en-US", base_url=f"http://{running.address}") as context,
    ):
        await running.online()
        page = await context.new_page()

        async def enter(key: str) -> None:
            dialog = page.get_by_role("dialog")
            await dialog.get_by_label("Key of this gateway").fill(key)
            await dialog.get_by_role("button", name="Use this key").click()
            await expect(page.locator("[data-part=socket][data-tone=good]")).to_be_visible()

        await page.goto(f"/#/run/{QWEN}")
        await enter(KEYS["anna"])
        await fill_all(page)
        for key, is_shown in ((KEYS["ben"], False), (KEYS["anna"], True)):
            await page.get_by_role("button", name="Change the API key").click()
            await enter(key)
            await expect(page.locator("[data-part=list] a").first).to_be_visible()
            await expect(page.locator("[data-part=drafts] a")).to_have_count(2 if is_shown else 0)
            await page.goto("/#/servers")
            await page.goto(f"/#/run/{QWEN}")
            text = page.get_by_label("Prompt", exact=True)
            if is_shown:
                await expect(text).to_have_value("a fox")
            else:
                await expect(text).to_be_visible()
                await expect(text).not_to_have_value("a fox")
                assert "an owl" not in await page.content()
