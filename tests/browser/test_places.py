"""Places in the queue, ETAs and lost servers, as the page shows them while it is open."""

import re

from playwright.async_api import Locator, Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.helpers import open_run
from tests.conftest import RunningGateway, model_free
from tests.integration.test_expectations import learnt, waiting


def seconds(text: str) -> float:
    found = re.search(r"(?:(\d+) min )?([\d.]+) s", text)
    assert found, text
    return float(found[1] or 0) * 60 + float(found[2])


async def assert_runs_down(shown: Locator) -> None:
    before = await shown.inner_text()
    await expect(shown).not_to_have_text(before)
    assert seconds(await shown.inner_text()) < seconds(before)


async def test_places_and_etas_are_live_in_both_views(
    blank: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    await learnt(gateway)
    demo.knobs.stall = True
    first = (await gateway.submit(model_free(), wait=0))["task_id"]
    await gateway.until(first, "running")
    ids = [await waiting(gateway, prefix) for prefix in "bcde"]
    await open_run(blank)
    await blank.get_by_label("Which results").select_option("all")
    tiles = [blank.locator(f'result-tile[data-id="{id}"]') for id in ids]
    for place, tile in enumerate(tiles, 1):
        await expect(tile.locator("[data-part=doing]")).to_contain_text(f"number {place} in")
    await assert_runs_down(tiles[3].locator("[data-part=doing]"))
    assert (await gateway.http.post(f"/api/task/{ids[1]}/cancel")).is_success
    for place, tile in zip((1, 2, 3), (tiles[0], tiles[2], tiles[3]), strict=True):
        await expect(tile.locator("[data-part=doing]")).to_contain_text(f"number {place} in")

    await blank.goto("/#/tasks")
    rows = [blank.locator(f'task-table .row[data-id="{id}"] .eta') for id in ids]
    for place, row in zip((1, 2, 3), (rows[0], rows[2], rows[3]), strict=True):
        await expect(row).to_contain_text(f"no. {place} ")
    await assert_runs_down(rows[3])
    assert (await gateway.http.post(f"/api/task/{ids[2]}/cancel")).is_success
    await expect(rows[3]).to_contain_text("no. 2 ")

    demo._fall_silent()
    running = blank.locator(f'task-table .row[data-id="{first}"]')
    await expect(running).to_contain_text("is offline")
    await expect(blank.locator(f'task-table .row[data-id="{ids[3]}"]')).to_contain_text(
        "is offline"
    )
    await blank.goto("/#/run")
    tile = blank.locator(f'result-tile[data-id="{first}"]')
    await expect(tile.locator("[data-part=notes]")).to_contain_text("is offline")


async def test_who_is_behind_what_is_told_takes_the_same_steps(blank: Page) -> None:
    await blank.goto("/")
    places = await blank.evaluate(
        """async () => {
          const { Steps, stamped } = await import("/static/js/tasks/places.js");
          const tasks = new Map();
          const steps = new Steps();
          const put = (id, place, status = "queued") => {
            const told = { task_id: id, status, queue_position: place, eta_seconds: place * 10 };
            const task = stamped(told);
            steps.note(tasks.get(id), task);
            tasks.set(id, task);
          };
          const settle = () => {
            for (const [task, queue_position] of steps.take(tasks))
              tasks.set(task.task_id, { ...task, queue_position });
          };
          const shown = () => [...tasks.values()].map(({ queue_position }) => queue_position);
          for (let at = 1; at <= 8; at += 1) put(`${at}`, at);
          settle();
          const found = [shown()];
          put("1", null, "running"); // nobody else is told of
          settle();
          found.push(shown());
          put("2", null, "running"); // the two that are next are told of
          put("3", 1);
          put("4", 2);
          settle();
          found.push(shown());
          put("6", null, "canceled"); // one that is further behind
          settle();
          found.push(shown());
          return found;
        }"""
    )
    assert places == [
        [1, 2, 3, 4, 5, 6, 7, 8],
        [None, 1, 2, 3, 4, 5, 6, 7],
        [None, None, 1, 2, 3, 4, 5, 6],
        [None, None, 1, 2, 3, None, 4, 5],
    ]
