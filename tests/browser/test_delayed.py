"""The page while its gateway has no live updates, as Redis is away, and afterwards."""

import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.browser.conftest import on_loop, visitor
from tests.browser.helpers import open_run
from tests.conftest import ROOT, RunningGateway, model_free, run_gateway, text_to_image
from tests.redis_server import RedisServer, running_redis


@on_loop
async def redis(tmp_path: Path) -> AsyncIterator[RedisServer]:
    async with running_redis(tmp_path) as server:
        yield server


@on_loop
async def gateway(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    redis: RedisServer,
    tmp_path: Path,
) -> AsyncIterator[RunningGateway]:
    """One that shares a Redis, with the repository's workflows."""
    shutil.copytree(ROOT / "workflows", tmp_path / "workflows")
    async with run_gateway(settings_for(demo.address, redis_url=redis.url)) as running:
        await running.online()
        yield running


@on_loop
async def page(browser: Browser, gateway: RunningGateway) -> AsyncIterator[Page]:
    async with visitor(browser, gateway, expected=lambda fault: "code: 503" in fault) as page:
        yield page


async def test_says_that_live_updates_are_delayed_and_is_right_again(
    page: Page, gateway: RunningGateway, demo: DemoServer, redis: RedisServer
) -> None:
    chip = page.locator("[data-part=socket]")
    await open_run(page)
    await expect(chip).to_have_text("live")
    await page.goto("/#/tasks")
    demo.knobs.step_seconds = 0.2
    begun = (await gateway.submit(text_to_image(steps=400), wait=0))["task_id"]
    row = page.locator(f'.row[data-id="{begun}"]')
    await expect(row).to_contain_text("running")

    await redis.kill()
    await expect(chip).to_contain_text("live updates delayed, again in")
    await expect(page.locator("[data-part=reason]")).to_contain_text("Redis cannot be reached")
    await gateway.http.post(f"/api/task/{begun}/cancel")
    demo.knobs.step_seconds = 0
    done = (await gateway.submit(model_free()))["task_id"]
    # What is shown is asked for with each try to connect.
    await expect(page.locator(f'.row[data-id="{done}"]')).to_contain_text("succeeded")
    await expect(row).to_contain_text("canceled")

    last = (await gateway.submit(model_free(2)))["task_id"]
    await redis.start()
    await expect(chip).to_have_text("live")
    await expect(page.locator(f'.row[data-id="{last}"]')).to_contain_text("succeeded")
    await expect(page.locator("[data-part=reason]")).to_be_hidden()
    after = (await gateway.submit(model_free(3)))["task_id"]
    await expect(page.locator(f'.row[data-id="{after}"]')).to_contain_text("succeeded")
