"""Every control of every view is operated, and its effect is seen."""

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, expect

from fake_comfyui.catalogue import Catalogue
from fake_comfyui.server import DemoServer
from tests.browser.conftest import BELOW, on_loop, visitor
from tests.browser.controls import SCRIPT, WIDE, Operator, Scene, Table, scene
from tests.browser.helpers import picture
from tests.browser.view_controls import (
    FRAME,
    FRAME_SCENES,
    KEY_DIALOG,
    KEY_SCENE,
    SERVERS,
    SERVERS_SCENES,
)
from tests.browser.view_controls_form import EVERY_KIND, FORM, FORM_SCENES
from tests.browser.view_controls_run import (
    DOCUMENT,
    GRAPH,
    GRAPH_SCENES,
    LIBRARY,
    LIBRARY_SCENES,
    OPENED,
    RESULTS,
    RESULTS_SCENES,
    RUN,
    WORK,
    WORK_SCENES,
    batch_scene,
)
from tests.browser.view_controls_tasks import DETAIL, TASKS, TASKS_SCENES, detail_scene
from tests.conftest import Json, RunningGateway, text_to_image
from tests.fake_comfyui.test_demo_savers import FRAMES, NEWER, node
from tests.receivers import receiving

RUN_TABLES = (DOCUMENT, LIBRARY, WORK, FORM, RESULTS, GRAPH)
EVERY = {name for table in (FRAME, *RUN_TABLES, SERVERS, TASKS, DETAIL) for name in table}


@on_loop
async def demo(tmp_path: Path) -> AsyncIterator[DemoServer]:
    """A stand-in with inputs and outputs of every kind."""
    types = json.loads(Catalogue(None, list).encoded())
    for name, info in (*NEWER.items(), ("EveryKind", EVERY_KIND)):
        types[name] = {"name": name, **info}
    file = tmp_path / "types.json"
    file.write_text(json.dumps(types), encoding="utf-8")
    async with DemoServer(
        step_seconds=0, preview_method="auto", order=list, object_info=file
    ) as server:
        yield server


@contextlib.asynccontextmanager
async def looking(browser: Browser, gateway: RunningGateway, place: str) -> AsyncIterator[Page]:
    """Below a path; at the root, all other tests look at it."""
    async with visitor(browser, gateway, below=BELOW) as page:
        await page.add_init_script(path=SCRIPT)
        await page.set_viewport_size({"width": WIDE, "height": 1000})
        await page.goto(f"{BELOW}/{place}")
        await expect(page.locator("[data-part=socket][data-tone=good]")).to_be_visible()
        yield page


async def faults_of(page: Page, table: Table, *scenes: Scene) -> list[str]:
    operator = Operator(page, table, EVERY)
    await operator.operate_all(*scenes)
    return operator.complaints


async def test_the_frame(browser: Browser, gateway: RunningGateway) -> None:
    async with looking(browser, gateway, "#/servers") as page:
        faults = await faults_of(page, FRAME, *FRAME_SCENES)
        faults += await faults_of(page, KEY_DIALOG, KEY_SCENE)
    assert not faults, "\n".join(faults)


async def test_servers(browser: Browser, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.step_seconds = 2
    task = await gateway.submit(text_to_image(steps=1000), wait=0)
    await gateway.until(task["task_id"], "running")
    async with looking(browser, gateway, "#/servers") as page:
        faults = await faults_of(page, SERVERS, *SERVERS_SCENES)
    assert not faults, "\n".join(faults)


async def test_the_list_of_tasks(
    browser: Browser, gateway: RunningGateway, demo: DemoServer
) -> None:
    await gateway.submit(text_to_image())
    demo.knobs.step_seconds = 2
    batch = await gateway.submit(text_to_image(), batch={"3.seed": list(range(60))}, wait=0)
    await gateway.http.post(f"/api/batch/{batch['batch_id']}/cancel")
    for seed in range(3):
        await gateway.submit(text_to_image(steps=1000, seed=seed), wait=0)
    async with looking(browser, gateway, "#/tasks") as page:
        faults = await faults_of(page, TASKS, *TASKS_SCENES)
    assert not faults, "\n".join(faults)


async def test_a_task(browser: Browser, gateway: RunningGateway, demo: DemoServer) -> None:
    async with receiving() as receiver:
        done = await gateway.submit(text_to_image(), webhook={"url": receiver.url})
        again = (await gateway.http.post(f"/api/task/{done['task_id']}/retry")).json()
        demo.knobs.fail_node = "KSampler"
        form = {"filename": "qwen_t2i_distill.json", "params": {"steps": 3}}
        answer = await gateway.http.post("/api/workflow/submit?wait=60", json=form)
        demo.knobs.fail_node, demo.knobs.step_seconds = None, 2
        running = await gateway.submit(text_to_image(steps=1000), wait=0)
        tasks = (done, again, answer.json(), running)
        async with looking(browser, gateway, "#/tasks") as page:
            scenes = [detail_scene(task["task_id"]) for task in tasks]
            faults = await faults_of(page, DETAIL, *scenes)
    assert not faults, "\n".join(faults)


async def test_keys_and_files_anywhere_on_the_page(
    browser: Browser, gateway: RunningGateway
) -> None:
    async with looking(browser, gateway, RUN) as page:
        faults = await faults_of(page, DOCUMENT, scene(RUN, OPENED))
    assert not faults, "\n".join(faults)


async def test_workflows_and_their_run(browser: Browser, gateway: RunningGateway) -> None:
    async with looking(browser, gateway, RUN) as page:
        faults = await faults_of(page, WORK, *WORK_SCENES)
        faults += await faults_of(page, LIBRARY, *LIBRARY_SCENES)
    assert not faults, "\n".join(faults)


async def test_the_form(browser: Browser, gateway: RunningGateway) -> None:
    file = ("another.png", picture("red"), "image/png")
    await gateway.http.post("/api/image/upload", files={"image": file})
    async with looking(browser, gateway, RUN) as page:
        faults = await faults_of(page, FORM, *FORM_SCENES)
    assert not faults, "\n".join(faults)


async def test_the_graph(browser: Browser, gateway: RunningGateway, demo: DemoServer) -> None:
    demo.knobs.fail_node = "KSampler"
    await gateway.submit(text_to_image())
    form = {"filename": "qwen_t2i_distill.json", "params": {"steps": 3}}
    await gateway.http.post("/api/workflow/submit?wait=60", json=form)
    async with looking(browser, gateway, RUN) as page:
        faults = await faults_of(page, GRAPH, *GRAPH_SCENES)
    assert not faults, "\n".join(faults)


MEDIA = {
    **{name: each for name, each in FRAMES.items() if name not in ("m", "c")},
    "movie": node("SaveWEBM", images=["i", 0], fps=8.0, filename_prefix="m"),
    "sound": node("SaveAudioMP3", audio=["a", 0], filename_prefix="s"),
    "mesh": node("SaveGLB", mesh=["g", 0], filename_prefix="g"),
    "text": node("PreviewAny", source="a text"),
}


async def test_results(browser: Browser, gateway: RunningGateway, demo: DemoServer) -> None:
    async def runs(wait: int, **form: Any) -> Json:
        body = {"filename": "qwen_t2i_distill.json", **form}
        return (await gateway.http.post(f"/api/workflow/submit?wait={wait}", json=body)).json()

    demo.knobs.step_seconds = 2
    batch = await runs(0, batch={"steps": list(range(1, 51))})  # canceled, they have no pictures
    await gateway.http.post(f"/api/batch/{batch['batch_id']}/cancel")
    demo.knobs.step_seconds = 0
    demo.knobs.fail_node, demo.knobs.say = "KSampler", {"exception_message": "no " * 3_000}
    await runs(20, params={"steps": 3})
    demo.knobs.fail_node = demo.knobs.say = None
    await gateway.submit(MEDIA)
    for steps in (2, 3):
        await runs(20, params={"steps": steps, "width": 64, "height": 64})
    async with looking(browser, gateway, RUN) as page:
        operator = Operator(page, RESULTS, EVERY)
        await operator.operate_all(*RESULTS_SCENES)
        demo.knobs.step_seconds = 2
        batch = await runs(0, batch={"steps": [1000, 1001, 1002]})
        await operator.operate_all(batch_scene(batch))
    assert not operator.complaints, "\n".join(operator.complaints)


LOOK = """async () => Object.entries({
  unreachable: controls.unreachable(), clipped: controls.clipped(),
  hidden: controls.hidden(), crushed: controls.crushed(),
  unnamed: controls.unnamed(), untold: await controls.untold(),
}).flatMap(([fault, found]) => [...new Set(found)].map((name) => `${fault}: ${name}`))"""
SCENES = {
    "run": WORK_SCENES[0],
    "unfolded": WORK_SCENES[2],
    "every kind": FORM_SCENES[2],
    "results": RESULTS_SCENES[0],
    "graph": GRAPH_SCENES[0],
    "tasks": TASKS_SCENES[1],
    "servers": SERVERS_SCENES[1],
}


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_all_can_be_got_at_at_every_width(
    browser: Browser, gateway: RunningGateway, demo: DemoServer, language: str
) -> None:
    """And has a name, and its text fits."""
    demo.knobs.fail_node = "KSampler"
    form = {"filename": "qwen_t2i_distill.json", "params": {"steps": 3}}
    answer = await gateway.http.post("/api/workflow/submit?wait=60", json=form)
    demo.knobs.fail_node = None
    await gateway.submit(MEDIA)
    await gateway.submit(text_to_image(), batch={"3.seed": [1, 2**64 - 2]})
    demo.knobs.step_seconds = 2  # from here on some wait and one runs
    form = {"filename": "qwen_t2i_distill.json", "batch": {"steps": [1000, 1001, 1002, 1003]}}
    await gateway.http.post("/api/workflow/submit?wait=0", json=form)
    scenes = {**SCENES, "task": detail_scene(answer.json()["task_id"])}
    faults: dict[str, set[str]] = {}
    async with looking(browser, gateway, RUN) as page:
        await page.evaluate("language => void (window.wanted = language)", language)
        for width in (390, 768, 1440, 2560):
            await page.set_viewport_size({"width": width, "height": 1000})
            for name, ready in scenes.items():
                await ready(page)
                for fault in await page.evaluate(LOOK):
                    faults.setdefault(f"{name}: {fault}", set()).add(str(width))
    assert not faults, "\n".join(f"{fault} at {', '.join(at)}" for fault, at in faults.items())
