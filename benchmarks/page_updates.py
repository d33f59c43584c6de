"""500 updates of running tasks a second, over the gateway's own WebSocket, into the page in
Chromium: how long its longest task takes. `python -m benchmarks.page_updates [SECONDS]` runs it."""

import asyncio
import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.async_api import Page, async_playwright

from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests import hubs
from tests.conftest import ROOT, RunningGateway, run_gateway, text_to_image

Json = dict[str, Any]

A_SECOND = 500
RUNNING = 50  # tasks that the updates are of
FINISHED = 1000  # rows that are in the table besides
VIEWS = {
    "results": "#/run/qwen_t2i_distill.json",
    "tasks": "#/tasks",
    "details": "#/tasks/running-0",
    "servers": "#/servers",
}

WATCH = """async () => {
  window.measured = { long: [], frames: 0, heard: 0 };
  const { events } = await import("/static/js/api/events.js");
  events.addEventListener("progress", () => measured.heard++);
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) measured.long.push(duration);
  }).observe({ type: "longtask" });
  const frame = () => { measured.frames++; requestAnimationFrame(frame); };
  requestAnimationFrame(frame);
}"""


async def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        shutil.copytree(ROOT / "workflows", place / "workflows")
        async with DemoServer(step_seconds=0) as demo:
            settings = Settings(
                _env_file=None,
                comfyui_server=[demo.address],
                database_url=f"sqlite:///{place}/gateway.db",
                workflows_dir=place / "workflows",
                uploads_dir=place / "uploads",
                outputs_dir=place / "outputs",
            )
            async with run_gateway(settings) as gateway:
                await gateway.online()
                await measure(gateway, seconds)


async def measure(gateway: RunningGateway, seconds: float) -> None:
    task = await gateway.submit(text_to_image())
    async with async_playwright() as playwright:
        path = shutil.which("chromium")
        chromium = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, view in VIEWS.items():
            page = await chromium.new_page(base_url=f"http://{gateway.address}")
            figures = await one(page, gateway, task, view, seconds)
            sys.stdout.write(json.dumps({"view": name, **figures}) + "\n")
            await page.close()
        await chromium.close()


async def one(page: Page, gateway: RunningGateway, task: Json, view: str, seconds: float) -> Json:
    await page.goto(f"/{view}")
    await page.locator("[data-part=socket][data-tone=good]").wait_for()
    await fill(gateway, task)
    if name := await page.query_selector("[data-part=scope]"):
        await name.select_option("all") if await name.is_visible() else None
    await page.wait_for_timeout(1500)
    await page.evaluate(WATCH)
    sent = await send(gateway, task, seconds)
    measured = await page.evaluate("measured")
    return {
        "sent_a_second": round(sent / seconds),
        "heard_a_second": round(measured["heard"] / seconds),
        "longest_ms": round(max(measured["long"], default=0)),
        "long_tasks": len(measured["long"]),
        "frames_a_second": round(measured["frames"] / seconds),
    }


async def fill(gateway: RunningGateway, task: Json) -> None:
    """The tasks, as the page hears of them."""
    for at in range(FINISHED):
        tell(gateway, {**task, "task_id": f"finished-{at}"})
        if at % 100 == 0:
            await asyncio.sleep(0.05)
    for at in range(RUNNING):
        tell(gateway, running(task, at, 0))


def running(task: Json, at: int, step: int) -> Json:
    progress = {**task["progress"], "value": step % 20 / 20, "step": step % 20, "steps": 20}
    progress |= {"current_node": "3", "class_type": "KSampler"}
    changes = {"status": "running", "finished_at": None, "outputs": [], "progress": progress}
    return {**task, "task_id": f"running-{at}", **changes, "eta_seconds": 20 - step % 20}


def tell(gateway: RunningGateway, view: Json, type: Any = "status") -> None:
    hubs.tell(gateway.gateway.hub, view["task_id"], type, view)


async def send(gateway: RunningGateway, task: Json, seconds: float) -> int:
    """So many updates a second, evenly; how many."""
    begun = time.monotonic()
    sent = 0
    while (passed := time.monotonic() - begun) < seconds:
        while sent < passed * A_SECOND:
            view = running(task, sent % RUNNING, sent // RUNNING)
            keys = ("task_id", "status", "progress", "eta_seconds")
            tell(gateway, {key: view[key] for key in keys}, "progress")
            sent += 1
        await asyncio.sleep(0.002)
    return sent


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10))
