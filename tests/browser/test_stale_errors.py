"""An error goes away when its cause does, and a row of the table stands where the list has it."""

import json
import re

from playwright.async_api import Browser, Page, Route, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import visitor
from tests.browser.helpers import QWEN, field, open_file, open_run
from tests.conftest import RunningGateway, text_to_image


async def test_of_a_new_server(blank: Page, demo: DemoServer) -> None:
    await blank.goto("/#/servers")
    form = blank.locator("server-panel form.add")
    address = form.get_by_label("Address")
    await address.fill(demo.address)
    await form.get_by_role("button", name="Add server").click()
    await expect(form.locator(".address .bad")).to_be_visible()
    await address.press_sequentially("1")
    await expect(form.locator(".address .bad")).to_be_hidden()
    await expect(address).not_to_have_attribute("aria-invalid", "true")
    slots = blank.get_by_role("article").get_by_label("Slots")
    await slots.fill("101")
    await slots.press("Enter")
    await expect(blank.locator("article .slots .bad")).to_be_visible()
    await slots.fill("4")
    await expect(blank.locator("article .slots .bad")).to_be_hidden()


async def test_of_a_run(blank: Page) -> None:
    page = blank
    await open_run(page)
    graph = text_to_image()
    graph["3"]["inputs"]["steps"] = 0
    del graph["3"]["inputs"]["denoise"]
    await open_file(page, json.dumps(graph), "bad.json")
    await expect(page.locator("[data-part=name]").first).to_have_text("bad.json")
    await field(page, "6.text").locator("textarea, input").first.fill("a fox")
    await page.evaluate("document.querySelector('run-form').check = () => true")
    await page.locator("run-bar [data-part=run]").click()
    box = page.locator("run-bar problem-box")
    await expect(box).to_be_visible()
    await page.get_by_label("Steps").fill("4")
    await expect(box).to_be_hidden()


async def test_of_a_workflow_that_is_not_there(browser: Browser, gateway: RunningGateway) -> None:
    """Nor is another one shown at its address."""
    async with visitor(browser, gateway, expected=lambda fault: "404" in fault) as page:
        await open_run(page)
        mine = page.locator("[data-part=list] a", has_text=QWEN.removesuffix(".json"))
        box = page.locator("run-bar problem-box")
        await page.evaluate("location.hash = '#/run/nope.json'")
        await expect(box).to_contain_text("nope.json")
        await expect(page.locator("parameter-field")).to_have_count(0)
        await expect(page.get_by_role("button", name="Run", exact=True)).to_be_disabled()
        await expect(page.get_by_label("Which results")).to_be_hidden()
        await mine.click()
        await expect(page.locator("parameter-field").first).to_be_visible()
        await expect(box).to_be_hidden()


async def test_of_a_file_that_is_no_workflow(blank: Page) -> None:
    page = blank
    await open_run(page)
    box = page.locator("run-bar problem-box")
    await open_file(page, "{}", "empty.json")
    await expect(box).to_be_visible()
    await page.locator("[data-part=list] a[aria-current]").click()  # the one that is open
    await expect(box).to_be_hidden()


async def test_of_what_was_tried_again(timed: Page) -> None:
    page = timed
    await open_run(page)
    toasts = page.locator("toast-list > div")
    await page.clock.install()
    await page.clock.pause_at("2099-01-01")  # no toast goes by itself
    for _ in range(2):
        await open_file(page, "{ not json", "mine.json")
        await expect(toasts).to_have_count(1)
    await open_file(page, json.dumps(text_to_image()), "mine.json")
    await expect(page.locator("[data-part=name]").first).to_have_text("mine.json")
    await expect(toasts).to_have_count(0)


async def test_an_unknown_view_is_the_first_one(blank: Page) -> None:
    await open_run(blank)
    await blank.evaluate("location.hash = '#/bla'")
    await expect(blank).to_have_url(re.compile(f"#/run/{QWEN}$"))
    await blank.goto("about:blank")
    await blank.goto("/#/bla/blub")
    await expect(blank).to_have_url(re.compile(f"#/run/{QWEN}$"))


async def test_what_could_not_be_opened_is_once_the_gateway_is_back(
    browser: Browser, gateway: RunningGateway
) -> None:
    async def refuse(route: Route) -> None:
        await route.abort()

    async with visitor(browser, gateway, expected=lambda fault: "ERR_FAILED" in fault) as page:
        await open_run(page)
        await page.route("**/api/**", refuse)
        await expect(page.locator("[data-part=health]")).to_have_text("gateway away")
        await page.locator("[data-part=list] a").last.click()
        await expect(page.locator("run-bar problem-box")).to_be_visible()
        await expect(page.locator("parameter-field")).to_have_count(0)
        await page.unroute("**/api/**")
        await expect(page.locator("parameter-field").first).to_be_visible()
        await expect(page.locator("run-bar problem-box")).to_be_hidden()


async def test_of_a_name_to_save_as(blank: Page) -> None:
    await open_run(blank)
    await blank.get_by_role("button", name="Save as").click()
    dialog = blank.get_by_role("dialog")
    await dialog.get_by_label("File name").fill(QWEN)
    await dialog.get_by_role("button", name="Save", exact=True).click()
    await expect(dialog.locator(".error")).to_be_visible()
    await dialog.get_by_label("File name").press_sequentially("x")
    await expect(dialog.locator(".error")).to_be_hidden()


async def test_of_a_server_that_is_busy(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.step_seconds = 2
    task = await gateway.submit(text_to_image(steps=1000), wait=0)
    await gateway.until(task["task_id"], "running")
    await blank.goto("/#/servers")
    await blank.get_by_role("article").get_by_role("button", name="Remove").click()
    dialog = blank.get_by_role("dialog")
    await dialog.get_by_role("button", name="Remove").click()
    await expect(dialog.locator("problem-box")).to_be_visible()
    await dialog.get_by_label("Stop what runs there").check()
    await expect(dialog.locator("problem-box")).to_be_hidden()
    await blank.mouse.click(5, 5)  # beside it
    await expect(dialog).to_have_count(0)
    await expect(blank.get_by_role("article")).to_have_count(1)


async def test_of_a_gateway_that_was_away(browser: Browser, gateway: RunningGateway) -> None:
    """In every box of every view, without anybody doing anything."""

    def is_away(fault: str) -> bool:
        return "ERR_FAILED" in fault or "404" in fault

    async def refuse(route: Route) -> None:
        await route.abort()

    async with visitor(browser, gateway, expected=is_away) as page:
        await page.goto(f"/#/run/{QWEN}")
        await expect(page.locator("parameter-field").first).to_be_visible()
        for view in ("tasks", "servers", f"run/{QWEN}"):
            await page.goto(f"/#/{view}")
            shown = page.locator("main > section:not([hidden])")
            await expect(shown).to_have_attribute("data-view", view.split("/")[0])
        routes = ("**/api/workflow/submit", "**/api/tasks*", "**/api/servers*", "**/api/task/*")
        for route in routes:
            await page.route(route, refuse)
        await page.locator("run-bar [data-part=run]").click()
        await expect(page.locator("run-bar problem-box")).to_be_visible()
        await page.goto("/#/tasks/00000000-0000-0000-0000-000000000000")
        await expect(page.locator("task-detail problem-box:visible")).to_have_count(1)
        await page.locator("task-table [data-part], task-table .chip").first.click()
        await expect(page.locator("task-table problem-box")).to_be_visible()
        for route in routes:
            await page.unroute(route)
        await expect(page.locator("problem-box:visible")).to_have_count(0)
        await page.goto(f"/#/run/{QWEN}")
        await expect(page.locator("run-bar")).to_be_visible()
        await expect(page.locator("problem-box:visible")).to_have_count(0)


async def test_rows_stand_in_the_order_of_the_list(blank: Page, gateway: RunningGateway) -> None:
    """In the DOM, which is that of the keyboard; whatever comes, goes, or comes late."""
    page = blank
    task = await gateway.submit(text_to_image())
    await page.goto("/#/tasks")
    await expect(page.locator("task-table .space > .row")).to_have_count(1)
    focused = page.locator(f'.row[data-id="{task["task_id"]}"] a')
    await expect(focused).to_be_visible()  # nothing else takes the focus
    await focused.focus()
    await expect(focused).to_be_focused()
    orders = await page.evaluate(
        """async (task) => {
          const { tasks } = await import("/static/js/tasks/state.js");
          const space = document.querySelector("task-table .space");
          const next = () => new Promise(requestAnimationFrame);
          const put = (name, minute) => {
            const created_at = `2099-01-01T00:${minute}:00Z`;
            tasks.put({ ...task, task_id: name, created_at });
          };
          const orders = [];
          const note = async () => {
            await next();
            await next();
            const rows = [...space.children].map(({ dataset }) => dataset.id);
            orders.push([rows, tasks.sorted().map(({ task_id }) => task_id)]);
          };
          for (const minute of [10, 50]) put(`at-${minute}`, minute);
          await note();
          for (const minute of [30, 20, 40, 55]) put(`at-${minute}`, minute); // late ones
          await note();
          put("at-20", 58); // a clock that was set
          put("at-45", 45);
          await note();
          tasks.drop("at-50");
          put("at-35", 35);
          await note();
          return orders;
        }""",
        task,
    )
    for rows, listed in orders:
        assert rows == listed
    assert len(orders[-1][0]) == 8
    await expect(focused).to_be_focused()
