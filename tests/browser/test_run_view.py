"""The form and the run: in a real Chromium, over a gateway with a demo server."""

import json
from typing import Any

import pytest
from playwright.async_api import Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import HOSTILE, assert_fits
from tests.browser.helpers import QWEN, drop_file, field, open_file, open_run, run
from tests.conftest import ROOT, RunningGateway, text_to_image, wait_until


async def test_run_shows_progress_preview_and_picture(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Prompt", exact=True).fill("a fox in the snow")
    await page.keyboard.press("Control+Enter")
    tile = page.locator("result-tile")
    await expect(tile.get_by_alt_text("Preview")).to_be_visible()
    await expect(tile.get_by_text("KSampler ·")).to_be_visible()
    await expect(tile).to_have_attribute("data-status", "succeeded")
    picture = tile.locator(".outputs img")
    await expect(picture).to_have_js_property("complete", True)
    assert await picture.evaluate("image => image.naturalWidth") > 0
    await expect(tile.get_by_alt_text("Preview")).to_be_hidden()
    task = await gateway.task(await tile.get_attribute("data-id") or "")
    assert task["params"]["6.text"] == "a fox in the snow"
    assert set(task["params"]) == {"6.text", "3.seed"}
    await expect(tile).to_contain_text(f"seed {task['params']['3.seed']}")


async def test_a_newcomer_presses_run_at_once(blank: Page) -> None:
    await blank.goto("/")
    await blank.get_by_role("button", name="Run", exact=True).click()
    await expect(blank.locator("result-tile .outputs img")).to_be_visible()
    first = min(path.name for path in (ROOT / "workflows").glob("*.json"))
    assert blank.url.endswith(f"#/run/{first}")


async def test_changes_are_marked_survive_a_reload_and_can_be_reset(blank: Page) -> None:
    page = blank
    await open_run(page)
    await page.get_by_label("Steps").fill("7")
    await expect(field(page, "3.steps")).to_have_class("changed")
    await expect(page.locator("run-bar")).to_contain_text("1 changed")
    await page.reload()
    await expect(page.get_by_label("Steps")).to_have_value("7")
    await field(page, "3.steps").get_by_role("button", name="As in the file").click()
    await expect(page.get_by_label("Steps")).to_have_value("15")
    await expect(page.locator("run-bar")).not_to_contain_text("changed")


async def test_seed_is_drawn_anew_or_kept(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    first = await gateway.task(await (await run(page)).get_attribute("data-id") or "")
    seed = field(page, "3.seed")
    await seed.get_by_role("button", name="Keep the last seed").click()
    await expect(page.get_by_label("Seed", exact=True)).to_have_value(
        str(first["params"]["3.seed"])
    )
    second = await gateway.task(await (await run(page)).get_attribute("data-id") or "")
    assert second["params"]["3.seed"] == first["params"]["3.seed"]
    await seed.get_by_role("button", name="A new seed for each run").click()
    await expect(page.get_by_label("Seed", exact=True)).to_have_value("-1")


async def test_large_seeds_stay_exact(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    seed = 2**63 + 1
    await open_run(page)
    await open_file(page, json.dumps(text_to_image(seed=seed)))
    await expect(page.get_by_label("Seed", exact=True)).to_have_value(str(seed))
    await page.get_by_label("Seed", exact=True).fill(str(seed + 2))
    tile = await run(page)
    task_id = await tile.get_attribute("data-id")
    answer = await gateway.http.get(f"/api/task/{task_id}/workflow")
    assert answer.json()["workflow"]["3"]["inputs"]["seed"] == seed + 2
    await page.get_by_label("Seed", exact=True).fill("1")
    await tile.get_by_role("button", name="Use settings").click()
    await expect(page.get_by_label("Seed", exact=True)).to_have_value(str(seed + 2))


async def test_a_batch_runs_every_combination(blank: Page, gateway: RunningGateway) -> None:
    page = blank
    await open_run(page)
    await page.locator("run-bar summary").get_by_text("Batch").click()
    await page.get_by_label("Seeds").fill("2")
    await page.get_by_label("Parameter of the grid").first.select_option("3.steps")
    await page.get_by_label("One value a line").first.fill("2\nx")
    await expect(page.locator("batch-panel")).to_contain_text("“x” is not a number")
    await page.get_by_label("One value a line").first.fill("2\n3")
    await expect(page.locator("batch-panel")).to_contain_text("2 × 2 = 4 tasks")  # noqa: RUF001
    await page.get_by_role("button", name="Run 4").click()
    await expect(page.locator("result-gallery .batch")).to_contain_text("of 4 done")
    await expect(page.locator('result-tile[data-status="succeeded"]')).to_have_count(4)
    await expect(page.locator("result-gallery .batch")).to_be_hidden()
    tasks = (await gateway.http.get("/api/tasks")).json()["tasks"]
    assert sorted(task["params"]["3.steps"] for task in tasks) == [2, 2, 3, 3]
    assert len({task["params"]["3.seed"] for task in tasks}) == 4


async def test_a_large_batch_is_told_as_the_gateway_has_it(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    """More of it than a page of the list; opened while it runs."""
    page = blank
    demo.knobs.step_seconds = 5
    body = {"filename": QWEN, "batch": {"3.seed": list(range(150))}}
    assert (await gateway.http.post("/api/workflow/submit", json=body)).is_success

    async def running() -> Any:
        return (await gateway.http.get("/api/tasks?status=running")).json()["tasks"]

    await wait_until(running)
    [first] = await running()
    await open_run(page)
    await expect(page.locator(f'result-tile[data-id="{first["task_id"]}"]')).to_be_visible()
    asked = {"status": "queued", "total": "true", "limit": 1}
    waiting = (await gateway.http.get("/api/tasks", params=asked)).json()["total"]
    await expect(page.locator("result-gallery [data-part=count]")).to_have_text(
        f"7 · {waiting - 6} more wait"
    )
    places = page.locator('result-tile[data-status="queued"]')
    await expect(places).to_have_count(6)
    await expect(places.last).to_contain_text("number 1 in the queue")
    await expect(page.locator('result-tile[data-status="running"]')).to_have_count(1)
    queue = page.locator("run-bar [data-part=queue]")
    await expect(queue).to_have_text(f"{waiting} waiting, 1 running")  # first of its kind: no ETA


def image_to_image() -> dict[str, Any]:
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "i"}},
    }


async def test_hostile_names_are_text(blank: Page) -> None:
    page = blank
    graph = text_to_image()
    for node in graph.values():
        node["_meta"] = {"title": HOSTILE}
    await open_run(page)
    await drop_file(page, page.locator("body"), json.dumps(graph), f"{HOSTILE}.json")
    await expect(page.locator("[data-part=name]").first).to_have_text(f"{HOSTILE}.json")
    await expect(field(page, "6.text")).to_contain_text(HOSTILE)
    await run(page)
    await page.get_by_role("button", name="As code").click()
    await expect(page.locator(".code")).to_contain_text("onerror")
    await page.keyboard.press("Escape")
    await page.get_by_role("tab", name="Graph").click()
    await expect(page.locator("workflow-graph svg").first).to_be_visible()
    await expect(page.locator('img[src="x"]')).to_have_count(0)


async def test_a_failed_task_says_why(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    demo.knobs.fail_node = "KSampler"
    await open_run(blank)
    await blank.keyboard.press("Control+Enter")
    error = blank.locator("result-tile problem-box").first
    await expect(error).to_contain_text("KSampler, node 3")
    await error.get_by_text("The whole answer").click()
    await expect(error.locator("pre")).to_contain_text("demo server, node 3")


async def test_a_node_of_the_graph_leads_to_its_field(blank: Page) -> None:
    await open_run(blank)
    await blank.get_by_role("tab", name="Graph").click()
    graph = blank.locator("workflow-graph")
    await expect(graph.locator("svg").first).to_be_visible()
    await graph.evaluate(
        "graph => graph.dispatchEvent(new CustomEvent('node-click', {detail: {nodeId: '38'}}))"
    )
    await expect(field(blank, "38.clip_name").locator("select, input").first).to_be_focused()


@pytest.mark.parametrize("width", [390, 1440, 2560])
async def test_nothing_sticks_out_sideways(blank: Page, width: int) -> None:
    await blank.set_viewport_size({"width": width, "height": 900})
    await open_run(blank)
    await run(blank)
    await assert_fits(blank, width)


async def test_a_batch_that_cannot_be_is_told_and_does_not_run(
    blank: Page, gateway: RunningGateway
) -> None:
    """Neither by its button, nor by the keyboard; `blank` fails on what the console says."""
    page = blank
    await open_run(page)
    await page.locator("run-bar summary").get_by_text("Batch").click()
    seeds = page.get_by_label("Seeds")
    values = page.get_by_label("One value a line").first
    await page.get_by_label("Parameter of the grid").first.select_option("3.steps")
    await values.fill("1\n2\n3\n4")
    button = page.locator("run-bar [data-part=run]")
    said = page.locator("batch-panel .bad")
    wrong = {
        "0": "At least 1",
        "-1": "At least 1",
        "": "whole number",
        "2.5": "whole number",
        "1001": "At most 1000",
        "251": "1004 tasks are too many",
    }
    for typed, why in wrong.items():
        await seeds.fill(typed)
        await expect(said).to_contain_text(why)
        await expect(seeds).to_have_attribute("aria-invalid", "true")
        await expect(button).to_be_disabled()
        await page.keyboard.press("Control+Enter")
    await expect(values).to_have_attribute("aria-invalid", "true")  # both make it too many
    await seeds.fill("2")
    await expect(said).to_have_count(0)
    await expect(page.locator("batch-panel [aria-invalid]")).to_have_count(0)
    await expect(page.get_by_role("button", name="Run 8")).to_be_enabled()
    await expect(page.locator("run-bar problem-box")).to_be_hidden()
    assert (await gateway.http.get("/api/tasks")).json()["tasks"] == []
