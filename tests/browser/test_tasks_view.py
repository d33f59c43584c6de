"""The view of tasks: the table, what can be done there, the details of a task."""

import json

from playwright.async_api import Browser, Locator, Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import HOSTILE, assert_fits, on_loop, visitor
from tests.conftest import RunningGateway, model_free, text_to_image, wait_until
from tests.receivers import Reply, receiving


@on_loop
async def page(blank: Page) -> Page:
    await blank.goto("/#/tasks")
    await expect(blank.get_by_role("heading", name="Tasks")).to_be_visible()
    return blank


def row(page: Page, task_id: str) -> Locator:
    return page.locator(f'task-table .row[data-id="{task_id}"]')


async def test_rows_live_filter_select_and_act(
    page: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    done = await gateway.submit(model_free(), metadata={"file": HOSTILE})
    demo.knobs.fail_node = "ImageInvert"
    failed = await gateway.submit(model_free(1))
    demo.knobs.fail_node, demo.knobs.step_seconds = None, 3
    running = await gateway.submit(text_to_image(steps=1000), wait=0)
    await gateway.until(running["task_id"], "running")
    waiting = await gateway.submit(text_to_image(seed=2), wait=0)

    await expect(row(page, running["task_id"])).to_contain_text("running")
    await expect(row(page, waiting["task_id"])).to_contain_text("no. 1")
    await expect(row(page, done["task_id"])).to_contain_text(HOSTILE)
    await expect(row(page, failed["task_id"])).to_contain_text("RuntimeError")

    await page.get_by_role("searchbox").fill("onerror")
    await expect(page.locator("task-table .space > .row")).to_have_count(1)
    await page.get_by_role("searchbox").fill("")
    await page.get_by_role("button", name="failed", exact=True).click()
    await expect(page.locator("task-table .space > .row")).to_have_count(1)
    await row(page, failed["task_id"]).get_by_role("button", name="Retry").click()
    await page.get_by_role("button", name="failed", exact=True).click()
    await expect(page.locator("task-table .space > .row")).to_have_count(5)

    for task in (running, waiting):
        await page.get_by_label(f"Select task {task['task_id'][:8]}").check()
    await page.locator("task-table .chosen").get_by_role("button", name="Cancel").click()
    await expect(row(page, running["task_id"])).to_contain_text("canceled")
    await page.get_by_label("Select all that are shown").check()
    demo.knobs.step_seconds = 0
    await page.locator("task-table .chosen").get_by_role("button", name="Delete").click()
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(row(page, done["task_id"])).to_have_count(0)
    for width in (390, 2560):
        await page.set_viewport_size({"width": width, "height": 800})
        await assert_fits(page, width)


async def test_a_task_of_a_client_of_comfyui_tells_whose_it_is(
    page: Page, gateway: RunningGateway
) -> None:
    client = f"krita {HOSTILE}"
    answer = await gateway.http.post("/prompt", json={"prompt": model_free(), "client_id": client})
    task_id = answer.json()["prompt_id"]
    await expect(row(page, task_id)).to_contain_text(f"from {client}")
    await row(page, task_id).get_by_role("link").click()
    facts = page.locator("task-detail dl", has_text="Client")
    await expect(facts.first).to_contain_text(client)


async def test_details_of_a_task(page: Page, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.3
    task = await gateway.submit(text_to_image(seed=2**63 + 1, text=HOSTILE), wait=0)
    await row(page, task["task_id"]).get_by_role("link").click()
    detail = page.locator("task-detail")
    await expect(detail.locator('.node[data-state="running"]')).to_contain_text("KSampler")
    await expect(detail.locator(".nodes .timeline")).to_contain_text("KSampler")
    await expect(detail.locator(".outputs img")).to_be_visible()
    await expect(detail.locator(".attempts")).to_contain_text("succeeded")
    await expect(detail.locator(".graph .node").first).to_have_attribute("data-state", "done")
    await detail.get_by_text("Events", exact=True).click()
    await expect(detail.locator(".log pre")).to_contain_text('"status":"succeeded"')
    for width in (390, 2560):
        await page.set_viewport_size({"width": width, "height": 800})
        await assert_fits(page, width)
    await page.reload()
    await expect(detail.locator(".nodes .timeline")).to_contain_text("KSampler")
    for answer in ("Cancel", "Delete"):
        await detail.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name=answer, exact=True).click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await expect(detail).to_be_visible(visible=answer == "Cancel")
    await expect(page.locator('img[src="x"]')).to_have_count(0)


async def test_a_failure_with_its_traceback(
    page: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "KSampler"
    task = await gateway.submit(text_to_image())
    await page.goto(f"/#/tasks/{task['task_id']}")
    detail = page.locator("task-detail")
    await expect(detail.locator(".error")).to_contain_text("KSampler #3")
    await expect(detail.locator(".error pre")).to_be_hidden()
    await detail.get_by_text("Traceback").click()
    await expect(detail.locator(".error pre")).to_contain_text("demo server, node 3")
    await expect(detail.locator('[data-state="failed"]')).to_contain_text("KSampler")
    demo.knobs.fail_node = None
    await detail.get_by_role("button", name="Retry").click()
    await expect(detail.locator("header")).to_contain_text("succeeded")
    await expect(detail.locator(".facts")).to_contain_text(task["task_id"][:8])


async def test_deliveries_of_webhooks_and_another_try(page: Page, gateway: RunningGateway) -> None:
    async with receiving(lambda _: Reply(503, HOSTILE.encode())) as hook:
        webhook = {"url": f"{hook.url}/told"}
        task = await gateway.submit(model_free(), webhook=webhook)
        await wait_until(lambda: hook.got)
        await page.goto(f"/#/tasks/{task['task_id']}")
        deliveries = page.locator("task-detail .deliveries")
        await expect(deliveries).to_contain_text("HTTP 503")
        await expect(deliveries).to_contain_text("/told")
        await expect(page.locator('img[src="x"]')).to_have_count(0)
        hook.handler = lambda _: Reply()
        await deliveries.get_by_role("button").click()
        await expect(deliveries).to_contain_text("delivered")


async def test_a_thousand_rows_are_few_elements(page: Page, gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free())
    await expect(row(page, task["task_id"])).to_be_visible()
    script = """async (task) => {
      const { tasks } = await import("/static/js/tasks/state.js");
      for (let at = 0; at < 1000; at++) {
        const created_at = new Date(1e12 + at * 1000).toISOString();
        tasks.put({ ...task, task_id: `t${at}`, created_at });
      }
    }"""
    await page.evaluate(script, task)
    await expect(page.get_by_text("1001 of 1001")).to_be_visible()
    assert await page.locator("task-table .space > .row").count() < 80
    await page.locator("task-table .scroller").evaluate("box => { box.scrollTop = 1e9 }")
    await expect(row(page, "t0")).to_be_visible()
    table = page.get_by_role("table")
    await expect(table).to_have_attribute("aria-rowcount", "1002")
    assert json.loads(await row(page, "t0").get_attribute("aria-rowindex") or "0") == 1002


async def test_counts_are_true_at_once(browser: Browser, gateway: RunningGateway) -> None:
    """After a delete, whatever the next count says; none is of what is loaded only in part."""
    made = await gateway.submit(model_free(), batch={"1.color": list(range(60))}, wait=0)
    for task in made["tasks"]:
        await gateway.until(task["task_id"], "succeeded")
    async with visitor(browser, gateway, expected=lambda fault: "404" in fault) as page:
        await page.goto("/#/tasks")
        count = page.locator("task-table .bar small")
        await expect(count).to_have_text("50 of 60")
        options = page.get_by_label("Batch", exact=True).locator("option")
        await expect(options).to_have_text(["All batches", f"Batch {made['batch_id'][:8]}"])
        await page.route("**/api/tasks?*total=true*", lambda _: None)  # that one never comes
        await page.locator("task-table .row").last.get_by_role("button", name="Delete").click()
        await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
        await expect(count).to_have_text("49 of 59")


async def test_search_and_counts_are_of_all_tasks(page: Page, gateway: RunningGateway) -> None:
    """Also of those that the page has not loaded."""
    metadata = {"note": {"said": "GRÜNE 100%"}}
    first = await gateway.submit(model_free(), metadata=metadata, wait=0)
    await gateway.submit(model_free(), batch={"1.color": list(range(150))}, wait=0)
    await gateway.http.post("/api/queue/clear")

    async def is_quiet() -> bool:
        queue = (await gateway.http.get("/api/queue")).json()
        return not queue["running"] and not queue["queued"]

    await wait_until(is_quiet)
    await page.reload()
    count = page.locator("task-table .bar small")
    await expect(count).to_have_text("50 of 151")
    await page.get_by_role("searchbox").fill("grüne 100%")
    await expect(row(page, first["task_id"])).to_be_visible()
    await expect(count).to_have_text("1 of 1")
    await page.get_by_role("searchbox").fill("grüne 1000")
    await expect(page.get_by_text("No task fits the filter.")).to_be_visible()
    await page.get_by_role("searchbox").fill("")
    more = page.get_by_role("button", name="Load more")
    for shown in ("101", "151"):
        await page.locator("task-table .scroller").evaluate("box => { box.scrollTop = 1e9 }")
        await more.click()
        await expect(count).to_have_text(f"{shown} of 151")
    await more.click()  # the last page has the one that the search found
    await expect(more).to_be_hidden()
