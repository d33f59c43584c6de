"""The example page as the gateway serves it, under its Content-Security-Policy and below a path.

At the root it is looked at by tests/acceptance/test_examples.py.
"""

from playwright.async_api import Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import BELOW


async def test_shows_previews_and_the_picture(below: Page, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 0.2
    await below.goto(f"{BELOW}/static/example/index.html")
    await below.get_by_label("Steps").fill("20")
    await below.get_by_role("button", name="Make it").click()
    preview = below.get_by_role("img", name="preview")
    await expect(preview).not_to_have_js_property("naturalWidth", 0)
    demo.knobs.step_seconds = 0
    await expect(below.get_by_role("status")).to_contain_text("Done.")
    await expect(preview).to_have_count(0)
    await expect(below.get_by_role("img")).not_to_have_js_property("naturalWidth", 0)
