"""What a task says is shown to its end: errors of any length, seeds of 64 bits."""

import json

import pytest
from playwright.async_api import Page, expect

from fake_comfyui.server import DemoServer
from fake_comfyui.story import Story
from tests.browser.helpers import QWEN, open_run, run
from tests.conftest import Json, RunningGateway, text_to_image

SEED = 2**63 + 1
LONG = "no " * 3_000 + "the end"


@pytest.mark.parametrize("named", ["3.seed", "seed"])
async def test_seeds_on_tiles_are_exact(blank: Page, gateway: RunningGateway, named: str) -> None:
    await open_run(blank)
    request = {"filename": QWEN, "params": {named: SEED}}
    answer = await gateway.http.post("/api/workflow/submit", json=request)
    tile = blank.locator(f'result-tile[data-id="{answer.json()["task_id"]}"]')
    await expect(tile).to_have_attribute("data-status", "succeeded")
    await expect(tile).to_contain_text(f"seed {SEED}")
    await blank.reload()
    await expect(tile).to_contain_text(f"seed {SEED}")


async def test_a_drawn_seed_is_shown_as_it_ran(blank: Page, gateway: RunningGateway) -> None:
    await open_run(blank)
    tile = await run(blank)
    answer = await gateway.http.get(f"/api/task/{await tile.get_attribute('data-id')}/workflow")
    seed = json.loads(answer.text)["workflow"]["3"]["inputs"]["seed"]
    await expect(tile).to_contain_text(f"seed {seed}")


async def test_a_long_error_is_shown_whole(
    blank: Page, gateway: RunningGateway, demo: DemoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Story._error

    def long(self: Story, node_id: str, kind: str, message: str) -> Json:
        return {**plain(self, node_id, kind, message), "exception_message": LONG}

    monkeypatch.setattr(Story, "_error", long)
    demo.knobs.fail_node = "KSampler"
    await open_run(blank)
    await blank.get_by_label("Which results").select_option("all")
    task = await gateway.submit(text_to_image())
    box = blank.locator(f'result-tile[data-id="{task["task_id"]}"] problem-box')
    await expect(box).to_contain_text("KSampler, node 3")
    await expect(box.locator("[data-part=detail]")).not_to_contain_text("the end")
    await box.get_by_role("button", name="Show all of it").click()
    await expect(box.locator("[data-part=detail]")).to_contain_text("the end")
    await expect(box.get_by_role("button", name="Show all of it")).to_be_hidden()
    await box.get_by_text("The whole answer").click()
    await expect(box.locator("pre")).to_contain_text("demo server, node 3")
    await expect(box.get_by_role("button", name="Copy")).to_be_visible()
    await blank.goto(f"/#/tasks/{task['task_id']}")
    section = blank.locator("task-detail .section.error")
    await expect(section.locator(".message")).to_contain_text("the end")
    await expect(section.get_by_role("button", name="Copy")).to_be_visible()
