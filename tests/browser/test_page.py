"""What holds of the whole page: access, themes, languages, keys, reloads, reconnects, weight."""

import re
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import HOSTILE, assert_fits, visitor
from tests.browser.helpers import QWEN, open_run, run, serious
from tests.conftest import ROOT, RunningGateway, text_to_image, wait_until

BUDGET = 150_000  # bytes of our own before the first paint

VIEWS = {
    "run": (f"#/run/{QWEN}", "result-tile .outputs img"),
    "tasks": ("#/tasks", "task-table .space > .row"),
    "task": ("#/tasks/{task_id}", "task-detail .outputs img"),
    "servers": ("#/servers", "server-panel .meter"),
}


async def open_view(page: Page, name: str, task_id: str) -> None:
    path, sign = VIEWS[name]
    await page.goto("/" + path.format(task_id=task_id))
    await expect(page.locator(sign).first).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_no_serious_barrier(browser: Browser, gateway: RunningGateway, scheme: Any) -> None:
    answer = await gateway.http.post(
        "/api/workflow/submit?wait=60", json={"filename": QWEN, "params": {"steps": 2}}
    )
    task_id = answer.json()["task_id"]
    # Only contrast depends on the theme.
    rules = ("color-contrast",) if scheme == "dark" else ()
    async with visitor(browser, gateway, color_scheme=scheme) as page:
        for name in VIEWS:
            await open_view(page, name, task_id)
            assert await serious(page, *rules) == [], name
        await open_view(page, "run", task_id)
        await page.get_by_role("tab", name="Graph").click()
        await expect(page.locator("workflow-graph:visible .node").first).to_be_visible()
        assert await serious(page, *rules) == [], "graph"
        await page.get_by_label("Steps").fill("0")
        for button in ("As code", "Versions", "Save as"):
            await page.get_by_role("button", name=button).click()
            await expect(page.get_by_role("dialog")).to_be_visible()
            assert await serious(page, *rules) == [], button
            await page.keyboard.press("Escape")
        await page.get_by_role("tab", name="Results").click()
        await page.locator(".picture").first.click()
        await expect(page.get_by_role("dialog").locator(".stage img")).to_be_visible()
        assert await serious(page, *rules) == [], "large"


async def test_failures_and_chinese_fit(
    browser: Browser, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "KSampler"
    task = await gateway.submit(text_to_image(text=HOSTILE), metadata={"file": HOSTILE * 3})
    async with visitor(browser, gateway, locale="zh-CN") as page:
        for path in (f"#/run/{QWEN}", "#/tasks", f"#/tasks/{task['task_id']}", "#/servers"):
            await page.goto(f"/{path}")
            await expect(page.locator("[data-part=socket][data-tone=good]")).to_be_visible()
            await page.wait_for_load_state("networkidle")
            for width in (390, 2560):
                await page.set_viewport_size({"width": width, "height": 800})
                await assert_fits(page, width)
                assert await serious(page) == [], (path, width)


async def test_language_follows_the_browser_and_can_be_changed(
    browser: Browser, gateway: RunningGateway
) -> None:
    async with visitor(browser, gateway, locale="zh-CN") as page:
        await open_run(page)
        await expect(page.get_by_label("提示词", exact=True)).to_be_visible()
        await expect(page.locator("html")).to_have_attribute("lang", "zh-CN")
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("result-tile").first).to_have_attribute(
            "data-status", "succeeded"
        )
        for path in ("#/tasks", "#/servers", f"#/run/{QWEN}"):
            await page.goto(f"/{path}")
            await expect(page.locator("main section:not([hidden])")).to_be_visible()
        await page.locator("[data-part=language]").select_option("en")
        await expect(page.get_by_label("Prompt", exact=True)).to_be_visible()
        await page.reload()
        await expect(page.get_by_label("Prompt", exact=True)).to_be_visible()


async def test_the_theme_follows_the_system_and_can_be_changed(
    browser: Browser, gateway: RunningGateway
) -> None:
    color = "getComputedStyle(document.body).backgroundColor"
    async with visitor(browser, gateway, color_scheme="dark") as page:
        await page.goto("/#/servers")
        dark = await page.evaluate(color)
        await page.get_by_role("button", name="Theme: as the system").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "light")
        assert await page.evaluate(color) != dark
        await page.reload()
        await expect(page.get_by_role("button", name="Theme: light")).to_be_visible()
        assert await page.evaluate(color) != dark
        await page.get_by_role("button", name="Theme: light").click()
        await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
        assert await page.evaluate(color) == dark


async def test_keys(blank: Page) -> None:
    page = blank
    await open_run(page)
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.keyboard.type("sd15")
    await expect(page.locator("workflow-library li:visible")).to_have_count(1)
    await page.keyboard.press("Escape")
    shipped = len(list((ROOT / "workflows").glob("*.json")))
    await expect(page.locator("workflow-library li:visible")).to_have_count(shipped)
    await page.get_by_role("button", name="As code").click()
    await expect(page.get_by_role("dialog")).to_be_visible()
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("result-tile")).to_have_count(0)
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await page.get_by_label("Prompt", exact=True).focus()
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("result-tile")).to_have_count(1)
    await page.get_by_role("searchbox").focus()
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("result-tile")).to_have_count(2)
    assert await page.evaluate("location.hash") == f"#/run/{QWEN}"
    await page.get_by_role("link", name="Tasks").click()
    await page.locator("task-table h2").click()
    await page.keyboard.press("/")
    await expect(page.get_by_role("searchbox")).to_be_focused()
    await page.locator("task-table .space > .row a").first.click()
    await expect(page.locator("task-detail header")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.locator("task-detail")).to_be_hidden()


async def test_a_reload_amid_a_run_loses_nothing(blank: Page, demo: DemoServer) -> None:
    page = blank
    demo.knobs.step_seconds = 0.4
    await open_run(page)
    await page.get_by_label("Prompt", exact=True).fill("a fox")
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("result-tile")).to_contain_text("KSampler")
    await page.reload()
    tile = page.locator("result-tile")
    await expect(tile).to_contain_text("KSampler")
    await expect(page.get_by_label("Prompt", exact=True)).to_have_value("a fox")
    await expect(tile.get_by_alt_text("Preview")).to_be_visible()
    demo.knobs.step_seconds = 0
    await expect(tile).to_have_attribute("data-status", "succeeded")
    task_id = await tile.get_attribute("data-id")
    await page.goto(f"/#/tasks/{task_id}")
    detail = page.locator("task-detail")
    await detail.get_by_text("Events", exact=True).click()
    log = detail.locator(".log pre")
    await expect(log).to_contain_text('"status":"queued"')
    await expect(log).to_contain_text('"status":"succeeded"')
    await expect(detail.locator(".nodes .timeline")).to_contain_text("KSampler")


async def test_connects_again_and_says_so(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    sockets: list[Any] = []
    await page.route_web_socket(
        re.compile("/ws$"), lambda route: (sockets.append(route), route.connect_to_server())
    )
    await open_run(page)
    chip = page.locator("[data-part=socket]")
    await expect(chip).to_have_text("live")
    await page.evaluate(
        """() => {
          window.said = [];
          const chip = document.querySelector("[data-part=socket]");
          const watcher = new MutationObserver(() => said.push(chip.textContent));
          watcher.observe(chip, { childList: true });
        }"""
    )
    await sockets[0].close()
    done = await gateway.submit(text_to_image(), metadata={"file": "while away"})
    await expect(chip).to_have_text("live")
    await wait_until(lambda: len(sockets) == 2)
    said = await page.evaluate("said")
    assert any("connection lost, again in" in text for text in said)
    await page.goto("/#/tasks")
    await expect(page.locator(f'.row[data-id="{done["task_id"]}"]')).to_contain_text("succeeded")


async def test_first_paint_is_light(blank: Page) -> None:
    await blank.goto("/")
    await expect(blank.locator("parameter-field").first).to_be_visible()
    loaded: list[str] = await blank.evaluate(
        """() => {
          const files = performance.getEntriesByType("resource");
          const own = ({ name }) => new URL(name).pathname.startsWith("/static/");
          return files.filter((file) => own(file)).map(({ name }) => new URL(name).pathname);
        }"""
    )
    files = {path.lstrip("/") for path in loaded if "/vendor/" not in path}
    assert len(files) > 20
    files.add("app/api/templates/page.html")
    weight = sum((ROOT / path).stat().st_size for path in files)
    assert weight < BUDGET, f"{weight} bytes: {sorted(files)}"


async def test_hostile_texts_of_tasks_are_text(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    page = blank
    demo.knobs.fail_node = "KSampler"
    graph = text_to_image(text=HOSTILE)
    graph["3"]["_meta"] = {"title": HOSTILE}
    graph["9"]["inputs"]["filename_prefix"] = "<b>x"
    form = {"metadata": {"file": HOSTILE, HOSTILE: HOSTILE}, "params": {"6.text": HOSTILE}}
    failed = await gateway.submit(graph, **form)
    demo.knobs.fail_node = None
    done = await gateway.submit(graph, **form)
    for task in (failed, done):
        await page.goto(f"/#/tasks/{task['task_id']}")
        detail = page.locator("task-detail")
        await expect(detail.locator("h2")).to_have_text(HOSTILE)
        await expect(detail.locator(".params")).to_contain_text(HOSTILE)
        await expect(detail.locator("workflow-graph")).to_contain_text("<img src=x")
        await detail.get_by_text("Events", exact=True).click()
        await expect(detail.locator(".log pre")).to_contain_text("onerror")
    await page.goto("/#/run")
    await page.get_by_label("Which results").select_option("all")
    await expect(page.locator("result-tile").first).to_contain_text(HOSTILE)
    await expect(page.locator('img[src="x"]')).to_have_count(0)


async def test_updates_come_together_once_a_frame(blank: Page, gateway: RunningGateway) -> None:
    task = await gateway.submit(text_to_image())
    await open_run(blank)
    await run(blank)
    script = """async (task) => {
      const { tasks } = await import("/static/js/tasks/state.js");
      const { events } = await import("/static/js/api/events.js");
      await new Promise(requestAnimationFrame);
      let told = 0;
      let shown = 0;
      tasks.addEventListener("change", () => told++);
      const queue = document.querySelector("[data-part=queue]");
      new MutationObserver(() => shown++).observe(queue, { childList: true });
      tasks.put({ ...task, task_id: "busy", status: "running", finished_at: null });
      for (let step = 1; step <= 5000; step++) {
        const progress = { value: step / 5000, step, steps: 5000, class_type: "KSampler" };
        const detail = { task_id: "busy", id: step, status: "running", progress, eta_seconds: 1 };
        events.dispatchEvent(new CustomEvent("progress", { detail }));
      }
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return { told, shown, step: tasks.get("busy").progress.step };
    }"""
    seen = await blank.evaluate(script, task)
    assert seen["step"] == 5000
    assert seen["told"] <= 2
    assert seen["shown"] <= 2
