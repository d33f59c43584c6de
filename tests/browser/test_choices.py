"""Choices in the form: several of them, and none that a server tells."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from playwright.async_api import Page, expect

from fake_comfyui.catalogue import BUILT_IN
from fake_comfyui.server import DemoServer
from tests.browser.helpers import field, open_file, open_run, run
from tests.conftest import Json, RunningGateway, model_free


@pytest_asyncio.fixture(loop_scope="session")
async def demo(tmp_path: Path) -> AsyncIterator[DemoServer]:
    """A stand-in whose saver has tags, and a folder without files."""
    info = json.loads(BUILT_IN.read_bytes())
    required = info["SaveImage"]["input"]["required"]
    required["tags"] = ["COMBO", {"options": ["sea", "sky", "sun"], "multiselect": True}]
    info["SaveImage"]["input"]["optional"] = {"look": ["COMBO", {"options": []}]}
    (tmp_path / "info.json").write_text(json.dumps(info), encoding="utf-8")
    async with DemoServer(step_seconds=0.05, object_info=tmp_path / "info.json") as server:
        yield server


def tagged() -> Json:
    graph = model_free()
    graph["3"]["inputs"] |= {"tags": {"__value__": ["sky"]}}
    return graph


async def unfold(page: Page, key: str) -> None:
    await page.locator("details", has=field(page, key)).locator("summary").first.click()


async def test_several_choices(blank: Page, gateway: RunningGateway) -> None:
    await open_run(blank)
    await open_file(blank, json.dumps(tagged()))
    await unfold(blank, "3.tags")
    tags = field(blank, "3.tags").locator("select")
    await expect(tags).to_have_values(["sky"])
    await tags.select_option(["sea", "sun"])
    task_id = await (await run(blank)).get_attribute("data-id")
    assert (await gateway.task(task_id or ""))["params"]["3.tags"] == ["sea", "sun"]


async def test_where_no_server_tells_choices_one_writes(blank: Page) -> None:
    graph = tagged()
    graph["3"]["inputs"]["look"] = "plain"
    await open_run(blank)
    await open_file(blank, json.dumps(graph))
    await unfold(blank, "3.look")
    look = field(blank, "3.look").locator("input[type=text]")
    await expect(look).to_have_value("plain")
    await look.fill("bright")
    await expect(field(blank, "3.look")).to_have_class("changed")
