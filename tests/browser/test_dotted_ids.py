"""Ids of nodes with dots: the form says what is whose, and old settings come back."""

import json

from playwright.async_api import Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.helpers import field, open_file, open_run, run
from tests.conftest import Json, text_to_image

SUFFIX = ".7"


def dotted() -> Json:
    """A graph in which every node has a dot in its id."""
    graph = {node_id + SUFFIX: node for node_id, node in text_to_image(text="a cat").items()}
    for node in graph.values():
        for name, value in node["inputs"].items():
            if isinstance(value, list):
                node["inputs"][name] = [value[0] + SUFFIX, value[1]]
    return graph


async def test_fields_stand_with_their_node_and_settings_come_back(
    blank: Page, demo: DemoServer
) -> None:
    page = blank
    await open_run(page)
    graph = dotted()
    await open_file(page, json.dumps(graph), "dotted.json")
    await expect(page.locator("[data-part=name]").first).to_have_text("dotted.json")
    shown = await page.locator("details.node").evaluate_all(
        "(all) => all.map((each) => each.dataset.node)"
    )
    assert shown
    assert set(shown) <= set(graph)
    names = await page.locator("details.node label").all_inner_texts()
    assert [name for name in names if "." in name] == []
    await expect(page.locator("size-field")).to_have_count(1)  # width and height of one node
    steps = field(page, "3.7.steps").locator("input[type=number]")
    text = field(page, "6.7.text").locator("textarea, input").first
    await steps.fill("3")
    await text.fill("a fox")
    tile = await run(page)
    await steps.fill("9")
    await text.fill("an owl")
    await tile.get_by_role("button", name="Use settings").click()
    await expect(steps).to_have_value("3")
    await expect(text).to_have_value("a fox")
    assert await page.evaluate('document.querySelector("run-form").focusNode("3.7")') is True
