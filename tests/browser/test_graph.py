"""<workflow-graph> in a real browser: what it draws, how one moves, what it shows of a run."""

import json
from typing import Any

from playwright.async_api import Locator, Page, expect

from tests.browser.conftest import HOSTILE
from tests.conftest import ROOT, text_to_image

Json = dict[str, Any]

SHOW = """async ({workflow, format}) => {
  await import("/static/js/graph/workflow-graph.js");
  const graph = document.createElement("workflow-graph");
  graph.style.cssText = "position: fixed; inset: 0; z-index: 99; height: 100vh";
  document.body.append(graph);
  graph.show({ workflow, format });
  graph.chosen = [];
  graph.addEventListener("node-click", ({ detail }) => graph.chosen.push(detail.nodeId));
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}"""


def ui_workflow() -> Json:
    """A subgraph, a note, a reroute, a group, a muted, a bypassed and a collapsed node."""
    inner = "5d31be54-7e20-4abe-81d7-f9e278fe0801"
    image = {"name": "IMAGE", "type": "IMAGE", "links": [2]}
    slot = {"name": "image", "type": "IMAGE", "link": 1}

    def node(id: int, kind: str, x: int, **more: Any) -> Json:
        return {"id": id, "type": kind, "pos": [x, 0], "size": [210, 100], "mode": 0, **more}

    return {
        "version": 0.4,
        "nodes": [
            node(1, "LoadImage", 0, outputs=[image], widgets_values=[HOSTILE, "image"]),
            node(2, inner, 300, inputs=[slot], outputs=[image], title=HOSTILE),
            node(3, "SaveImage", 600, inputs=[slot], mode=2, color="#322", bgcolor="#533"),
            node(4, "ImageInvert", 900, inputs=[slot], outputs=[image], mode=4),
            node(5, "Reroute", 1200, inputs=[slot], outputs=[image], size=[75, 26]),
            node(6, "MarkdownNote", 1500, widgets_values=[f"# Read\n{HOSTILE}"]),
            node(7, "PreviewImage", 1800, inputs=[slot], flags={"collapsed": True}),
        ],
        "links": [
            [1, 1, 0, 2, 0, "IMAGE"],
            [2, 2, 0, 3, 0, "IMAGE"],
            [3, 99, 0, 3, 0, "IMAGE"],
        ],
        "groups": [{"title": HOSTILE, "bounding": [-10, -80, 520, 220], "color": "url(x)"}],
        "definitions": {
            "subgraphs": [
                {
                    "id": inner,
                    "name": "Upscale",
                    "inputNode": {"id": -10, "bounding": [-300, 0, 120, 60]},
                    "outputNode": {"id": -20, "bounding": [600, 0, 120, 60]},
                    "inputs": [{"name": "image", "type": "IMAGE", "linkIds": [1]}],
                    "outputs": [{"name": "IMAGE", "type": "IMAGE", "linkIds": [2]}],
                    "nodes": [node(8, "ImageScale", 0, inputs=[slot], outputs=[image])],
                    "links": [
                        {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 8,
                         "target_slot": 0, "type": "IMAGE"},
                        {"id": 2, "origin_id": 8, "origin_slot": 0, "target_id": -20,
                         "target_slot": 0, "type": "IMAGE"},
                    ],
                }
            ]
        },
    }  # fmt: skip


async def show(page: Page, workflow: Json, format: str) -> Locator:
    await page.goto("/#/servers")
    await page.evaluate(SHOW, {"workflow": workflow, "format": format})
    return page.locator("workflow-graph").last


async def run(graph: Locator, **task: Any) -> None:
    whole = {"task_id": "1", "status": "running", "outputs": [], "progress": {}, **task}
    await graph.evaluate("(graph, task) => { graph.task = task }", whole)


async def states(graph: Locator) -> Json:
    script = """graph => Object.fromEntries([...graph.querySelectorAll(".node")]
      .map(node => [node.dataset.id, node.dataset.state]))"""
    seen: Json = await graph.evaluate(script)
    return seen


async def test_api_format_goes_from_left_to_right(blank: Page) -> None:
    workflow = json.loads((ROOT / "workflows/qwen_t2i_distill.json").read_text(encoding="utf-8"))
    graph = await show(blank, workflow, "api")
    await expect(graph.locator(".node")).to_have_count(len(workflow))
    await expect(graph.locator(".link")).to_have_count(10)
    boxes = {}
    for id in ("38", "6", "3", "8", "60"):
        boxes[id] = await graph.locator(f'.node[data-id="{id}"]').bounding_box()
    places = [box["x"] for box in boxes.values() if box]
    assert places == sorted(places)
    assert len(set(places)) == 5
    await expect(graph.get_by_role("button", name="KSampler, #3")).to_contain_text("steps")
    assert await graph.evaluate("graph => graph.innerHTML.includes('NaN')") is False


async def test_ui_format_as_it_was_made(blank: Page) -> None:
    graph = await show(blank, ui_workflow(), "ui")
    await expect(graph.locator(".node")).to_have_count(7)
    await expect(graph.locator(".link")).to_have_count(2)  # the third leads to no node
    await expect(graph.locator('[data-mode="muted"]')).to_contain_text("muted")
    await expect(graph.locator('[data-mode="bypassed"]')).to_contain_text("bypassed")
    await expect(graph.locator('[data-kind="note"]')).to_contain_text("Read")
    await expect(graph.locator('[data-kind="reroute"]')).to_have_count(1)
    await expect(graph.locator(".group")).to_contain_text("<img src=x")
    await expect(blank.locator('img[src="x"]')).to_have_count(0)


async def test_subgraphs_open_and_close(blank: Page) -> None:
    graph = await show(blank, ui_workflow(), "ui")
    await graph.locator('[data-open="2"]').click()
    await expect(graph.get_by_role("button", name="ImageScale, #8")).to_be_visible()
    await expect(graph.locator('[data-kind="side"]')).to_have_count(2)
    await graph.get_by_role("button", name="ImageScale, #8").click()
    assert await graph.evaluate("graph => graph.chosen") == ["2:8"]
    await run(graph, progress={"current_node": "2:8", "step": 1, "steps": 4})
    assert (await states(graph))["8"] == "running"
    await graph.get_by_role("button", name="Workflow", exact=True).click()
    seen = await states(graph)
    assert seen["2"] == "running"
    assert seen["1"] == "done"
    assert seen.get("3") is None  # muted: it takes no part


async def test_a_run_is_shown_on_its_nodes(blank: Page) -> None:
    graph = await show(blank, text_to_image(), "api")
    await run(graph, status="queued")
    assert set((await states(graph)).values()) == {"waiting"}
    await run(graph, progress={"current_node": "3", "step": 3, "steps": 4})
    seen = await states(graph)
    assert seen == {**dict.fromkeys("4567", "done"), "3": "running", "8": "waiting", "9": "waiting"}
    sampler = graph.get_by_role("button", name="KSampler, #3")
    await expect(sampler).to_contain_text("running 3/4")
    error = {"code": "execution_error", "message": HOSTILE, "node_id": "8"}
    await run(graph, status="failed", error=error)
    assert (await states(graph))["3"] == "done"
    await expect(graph.get_by_role("button", name="VAEDecode, #8")).to_contain_text("<img src=x")
    await graph.get_by_role("button", name="Show the failed node").click()
    await expect(graph.get_by_role("button", name="VAEDecode, #8")).to_be_focused()
    await run(graph, task_id="2", status="succeeded")
    assert set((await states(graph)).values()) == {"done"}
    await run(graph, task_id="3", progress={"node_seconds": {"4": None}, "current_node": "3"})
    seen = await states(graph)
    assert (seen["4"], seen["3"], seen["8"]) == ("cached", "running", "waiting")


async def test_keys_and_wheel(blank: Page) -> None:
    graph = await show(blank, text_to_image(), "api")
    await graph.get_by_role("button", name="CheckpointLoaderSimple, #4").focus()
    await blank.keyboard.press("ArrowRight")
    await blank.keyboard.press("Enter")
    assert (await graph.evaluate("graph => graph.chosen"))[0] in ("6", "7")
    node = graph.locator('.node[data-id="3"]')
    before = await node.bounding_box()
    await blank.keyboard.press("+")
    await blank.wait_for_timeout(100)
    nearer = await node.bounding_box()
    assert before
    assert nearer
    assert nearer["width"] > before["width"]
    await blank.mouse.move(300, 300)
    await blank.mouse.wheel(0, 400)
    await blank.wait_for_timeout(100)
    farther = await node.bounding_box()
    assert farther
    assert farther["width"] < nearer["width"]
    await blank.mouse.down()
    await blank.mouse.move(420, 300, steps=4)
    await blank.mouse.up()
    await blank.wait_for_timeout(100)
    dragged = await node.bounding_box()
    assert dragged
    assert round(dragged["x"] - farther["x"]) == 120
    assert len(await graph.evaluate("graph => graph.chosen")) == 1  # a drag is no click


BROKEN: list[Json] = [
    {},
    {"nodes": None, "links": [None, 5]},
    {"nodes": [{}, {"id": 1}, None]},
    {"1": None, "2": {"class_type": 3, "inputs": {"a": ["2", 0], "b": ["2", 10**9]}}},
]


async def test_broken_files_draw_what_there_is(blank: Page) -> None:
    for workflow in BROKEN:
        for format in ("ui", "api"):
            graph = await show(blank, workflow, format)
            await expect(graph.locator(".tools")).to_be_visible()


async def test_two_hundred_nodes_in_time(blank: Page) -> None:
    chain: Json = {"0": {"class_type": "EmptyImage", "inputs": {"width": 64}}}
    for at in range(1, 200):
        source = [str(max(0, at - 1 - at % 7)), 0]
        chain[str(at)] = {"class_type": "ImageInvert", "inputs": {"image": source}}
    graph = await show(blank, chain, "api")
    await expect(graph.locator(".node")).to_have_count(200)
    script = """(graph, workflow) => {
      const before = performance.now();
      graph.show({ workflow, format: "api" });
      return performance.now() - before;
    }"""
    assert await graph.evaluate(script, chain) < 3000
