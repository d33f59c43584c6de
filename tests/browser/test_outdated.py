"""What is no longer true is no longer shown: of what was open before, of a run, of a queue."""

import re

from playwright.async_api import Browser, Page, Route, WebSocketRoute, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import visitor
from tests.browser.helpers import QWEN, open_run
from tests.conftest import RunningGateway, model_free, text_to_image
from tests.integration.test_expectations import learnt, waiting

NOBODY = "00000000-0000-0000-0000-000000000000"


async def test_the_state_of_the_task_before(browser: Browser, gateway: RunningGateway) -> None:
    task = await gateway.submit(model_free(), metadata={"file": "mine.json"})
    async with visitor(browser, gateway, expected=lambda fault: "404" in fault) as page:
        await page.goto(f"/#/tasks/{task['task_id']}")
        head = page.locator("task-detail > header")
        await expect(head).to_contain_text("succeeded")
        await page.goto(f"/#/tasks/{NOBODY}")
        await expect(page.locator("task-detail problem-box:visible")).to_have_count(1)
        await expect(head).to_contain_text(NOBODY[:8])
        await expect(head).not_to_contain_text("succeeded")
        await expect(head.locator(".chip")).to_be_hidden()
        await expect(head.locator("h2")).not_to_have_attribute("title", "mine.json")


async def test_warnings_and_graph_of_the_workflow_before(
    browser: Browser, gateway: RunningGateway
) -> None:
    async def warn(route: Route) -> None:
        answer = await (await route.fetch()).json()
        await route.fulfill(json={**answer, "warnings": ["too old"]})

    async with visitor(browser, gateway, expected=lambda fault: "404" in fault) as page:
        await page.route(f"**/api/workflow/{QWEN}", warn)
        await open_run(page)
        warnings, graph = page.locator("run-view .warnings"), page.locator("workflow-graph")
        await expect(warnings).to_have_text("too old")
        await page.get_by_role("tab", name="Graph").click()
        await expect(graph.locator(".node").first).to_be_visible()
        await page.goto("/#/run/nope.json")
        await expect(page.locator("run-bar problem-box")).to_be_visible()
        await expect(warnings).to_be_hidden()
        await expect(graph).to_be_hidden()
        await page.goto(f"/#/run/{QWEN}")
        await expect(warnings).to_have_text("too old")
        await expect(graph.locator(".node").first).to_be_visible()


async def test_that_a_run_is_queued(blank: Page, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 2
    first = (await gateway.submit(text_to_image(steps=1000), wait=0))["task_id"]
    await gateway.until(first, "running")
    await open_run(blank)
    said = blank.locator("run-bar [data-part=said]")
    for what in (None, first):  # the queued one, then the one before it
        async with blank.expect_response("**/api/workflow/submit") as answer:
            await blank.keyboard.press("Control+Enter")
        made = (await (await answer.value).json())["task_id"]
        await expect(said).to_have_text("1 queued")
        assert (await gateway.http.post(f"/api/task/{what or made}/cancel")).is_success
        await expect(said).to_be_empty()
    assert (await gateway.task(made))["status"] in ("queued", "running")


async def test_etas_while_the_gateway_is_away(
    browser: Browser, gateway: RunningGateway, demo: DemoServer
) -> None:
    await learnt(gateway)
    demo.knobs.stall = True
    await gateway.until((await gateway.submit(model_free(), wait=0))["task_id"], "running")
    later = await waiting(gateway, "later")
    is_away = False
    sockets: list[WebSocketRoute] = []

    async def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        if is_away:
            await socket.close()
        else:
            socket.connect_to_server()

    async def answer(route: Route) -> None:
        await (route.abort() if is_away else route.continue_())

    async with visitor(browser, gateway, expected=lambda fault: "ERR_FAILED" in fault) as page:
        await page.route_web_socket(re.compile("/ws$"), connect)
        await page.route("**/api/**", answer)
        await page.goto(f"/#/tasks/{later}")
        row = page.locator(f'task-table .row[data-id="{later}"] .eta')
        detail = page.locator("task-detail .buttons small")
        await expect(row).to_contain_text("~")
        await expect(detail).to_contain_text("~")
        await open_run(page)
        await page.get_by_label("Which results").select_option("all")
        tile = page.locator(f'result-tile[data-id="{later}"] [data-part=doing]')
        queue = page.locator("run-bar [data-part=queue]")
        await expect(tile).to_contain_text("left")
        await expect(queue).to_contain_text("all done in")
        is_away = True
        await sockets[-1].close()
        await expect(tile).to_have_text("number 1 in the queue")
        await expect(queue).to_have_text("1 waiting, 1 running")
        await page.goto(f"/#/tasks/{later}")
        await expect(row).to_have_text("no. 1")
        await expect(detail).not_to_contain_text("~")
        is_away = False
        await expect(row).to_contain_text("~")
        await expect(detail).to_contain_text("~")
