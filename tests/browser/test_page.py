"""The debug page in a real browser. An error on its console fails every test."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, async_playwright, expect

from app.config import Settings
from app.demo.server import DemoServer
from tests.conftest import ROOT, RunningGateway, run_gateway, text_to_image

QWEN = "qwen_t2i_distill.json"
HOSTILE = "<img src=x onerror=\"console.error('ran')\">"
WAIT = 15_000  # milliseconds


@pytest.fixture
async def gateway(
    demo: DemoServer, settings_for: Callable[..., Settings], tmp_path: Path
) -> AsyncIterator[RunningGateway]:
    """A gateway with the repository's workflows; its server takes its time."""
    demo.knobs.step_seconds = 0.05
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    async with run_gateway(settings_for(demo.address)) as running:
        await running.online()
        yield running


@pytest.fixture
async def page(gateway: RunningGateway) -> AsyncIterator[Page]:
    """The page, opened and connected."""
    chromium = shutil.which("chromium")
    if chromium is None:
        reason = "chromium is not installed: apt-get install chromium"
        if os.environ.get("REQUIRE_SERVICES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = await browser.new_page()
        page.set_default_timeout(WAIT)
        expect.set_options(timeout=WAIT)
        faults = watch(page)
        await page.goto(f"http://{gateway.address}/")
        await expect(page.get_by_text("live", exact=True)).to_be_visible()
        yield page
        await browser.close()
    assert faults == []


def watch(page: Page) -> list[str]:
    """Collects what the page complains of; violations of its CSP are among it."""
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda message: faults.append(message.text) if is_fault(message) else None,
    )
    return faults


def is_fault(message: Any) -> bool:
    # Chromium itself logs every answer of 4xx, also those that the page shows.
    return message.type in ("error", "warning") and "status of 422" not in message.text


async def choose(page: Page, workflow: str = QWEN) -> None:
    await page.get_by_label("Workflow", exact=True).select_option(workflow)
    await expect(page.get_by_label("Positive Prompt")).to_be_visible()


async def open_file(page: Page, content: str, name: str = "mine.json") -> None:
    file = {"name": name, "mimeType": "application/json", "buffer": content.encode()}
    await page.get_by_label("Open file").set_input_files(files=[file])  # type: ignore[list-item]


async def test_page_shows_health_and_servers(page: Page, demo: DemoServer) -> None:
    await expect(page.locator("gateway-header")).to_contain_text("ok")
    server = page.locator("server-list li")
    await expect(server).to_contain_text(demo.address)
    await expect(server).to_contain_text("0 of 2 slots used")


async def test_run_shows_progress_preview_and_picture(page: Page, gateway: RunningGateway) -> None:
    await choose(page)
    await page.get_by_label("Positive Prompt").fill("a fox in the snow")
    await page.keyboard.press("Control+Enter")

    card = page.locator("task-card")
    await expect(card.get_by_alt_text("Preview")).to_be_visible()
    await expect(card.get_by_text("KSampler · step")).to_be_visible()

    await expect(card.get_by_text("succeeded")).to_be_visible()
    picture = card.locator(".outputs img")
    await expect(picture).to_have_js_property("complete", True)
    assert await picture.evaluate("image => image.naturalWidth") > 0
    await expect(card.get_by_alt_text("Preview")).to_be_hidden()
    task = await gateway.task(await card.get_attribute("data-id") or "")
    assert task["params"]["6.text"] == "a fox in the snow"
    assert set(task["params"]) == {"6.text", "3.seed"}
    await expect(card).to_contain_text(f"seed\u00a0{task['params']['3.seed']}")


async def test_a_newcomer_presses_run_at_once(page: Page) -> None:
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("task-card .outputs img")).to_be_visible()


async def test_reload_shows_the_same_tasks(page: Page, gateway: RunningGateway) -> None:
    task = await gateway.submit(text_to_image())
    await expect(page.locator("task-card")).to_contain_text("succeeded")
    await page.reload()
    card = page.locator(f'task-card[data-id="{task["task_id"]}"]')
    await expect(card).to_contain_text("succeeded")


async def test_broken_workflow_shows_what_is_wrong(page: Page) -> None:
    await open_file(page, '{"1": {"class_type": "NoSuchNode", "inputs": {}}}')
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("submit-form problem-box")).to_contain_text("NoSuchNode")
    await expect(page.locator("submit-form problem-box")).to_be_in_viewport()
    await open_file(page, "{not json")
    await expect(page.locator("submit-form problem-box")).to_contain_text("mine.json is not JSON")
    await expect(page.get_by_role("button", name="Run")).to_be_disabled()


async def test_failed_task_names_node_and_traceback(
    page: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "KSampler"
    await gateway.submit(text_to_image())
    error = page.locator("task-card problem-box").first
    await expect(error).to_contain_text("KSampler, node 3")
    await error.get_by_text("The whole answer").click()
    await expect(error.locator("pre")).to_contain_text("demo server, node 3")


async def test_cancel_then_retry_and_delete(page: Page, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 1
    await choose(page)
    await page.get_by_role("button", name="Run").click()
    card = page.locator("task-card")
    await expect(card.get_by_text("running")).to_be_visible()
    await card.get_by_role("button", name="Cancel").click()
    await expect(card.get_by_text("canceled")).to_be_visible()

    demo.knobs.step_seconds = 0
    await card.get_by_role("button", name="Retry").click()
    await expect(card).to_have_count(2)
    await expect(card.first).to_contain_text("succeeded")
    await card.last.get_by_role("button", name="Delete").click()
    await expect(card).to_have_count(1)


async def test_hostile_names_are_text(page: Page) -> None:
    graph = text_to_image()
    graph["6"]["_meta"] = {"title": HOSTILE}
    graph["9"]["_meta"] = {"title": HOSTILE}
    await open_file(page, json.dumps(graph), f"{HOSTILE}.json")
    await expect(page.get_by_label(HOSTILE)).to_have_value("a fox")
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("task-card strong").first).to_have_text(f"{HOSTILE}.json")
    await expect(page.locator("task-card")).to_contain_text("succeeded")
    await expect(page.locator('img[src="x"]')).to_have_count(0)


async def test_large_seeds_stay_exact(page: Page, gateway: RunningGateway) -> None:
    seed = 2**63 + 1
    await open_file(page, json.dumps(text_to_image(seed=seed)))
    await expect(page.get_by_label("seed")).to_have_value(str(seed))
    await page.get_by_role("button", name="Run").click()
    card = page.locator("task-card")
    await expect(card).to_contain_text("succeeded")
    task_id = await card.get_attribute("data-id")
    answer = await gateway.http.get(f"/api/task/{task_id}/workflow")
    assert answer.json()["workflow"]["3"]["inputs"]["seed"] == seed


@pytest.mark.parametrize("width", [390, 1440, 2560])
async def test_nothing_sticks_out_sideways(page: Page, width: int) -> None:
    await page.set_viewport_size({"width": width, "height": 900})
    await choose(page)
    await page.get_by_role("button", name="Run").click()
    await expect(page.locator("task-card")).to_contain_text("succeeded")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
