"""A gateway that everybody can use says so on its page, and what to do."""

from collections.abc import Callable

from playwright.async_api import Browser, expect

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.browser.conftest import watch
from tests.conftest import over


async def test_the_page_warns_of_a_gateway_without_keys(
    browser: Browser, demo: DemoServer, settings_for: Callable[..., Settings]
) -> None:
    async with over(settings_for, demo, host="0.0.0.0") as running:
        page = await browser.new_page(base_url=f"http://{running.address}", locale="en-US")
        faults = watch(page)
        await page.goto("/")
        banner = page.get_by_role("alert")
        await expect(banner).to_contain_text("python start.py keys add me --scope manage")
        await expect(banner).to_contain_text("COMFYUI_API_KEYS=api_keys.json")
        assert faults == []
