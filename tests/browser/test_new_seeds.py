"""A new seed for each run, and tasks by their workflow: what the API has is on the page, too."""

from playwright.async_api import Page, Request, expect

from tests.browser.helpers import QWEN, open_run, run
from tests.conftest import RunningGateway

OTHER = "sd15_text_to_image.json"


async def test_seeds_are_drawn_anew_where_that_is_ticked(
    blank: Page, gateway: RunningGateway
) -> None:
    page = blank
    body = {"filename": QWEN, "params": {"3.seed": 7}}
    assert (await gateway.http.post("/api/workflow/update", json=body)).is_success
    await open_run(page)
    again = page.get_by_role("checkbox", name="New seed for each run")
    await expect(again).not_to_be_checked()

    async def seed_of_a_run() -> int:
        task_id = await (await run(page)).get_attribute("data-id")
        answer = await gateway.http.get(f"/api/task/{task_id}/workflow")
        seed: int = answer.json()["workflow"]["3"]["inputs"]["seed"]
        return seed

    assert await seed_of_a_run() == 7
    await again.check()
    drawn = {await seed_of_a_run(), await seed_of_a_run()}
    assert len(drawn) == 2
    assert 7 not in drawn
    await page.reload()
    await expect(page.locator("parameter-field").first).to_be_visible()
    await expect(again).to_be_checked()
    await page.get_by_role("button", name="As code").click()
    code = page.get_by_role("dialog").locator(".code")
    for name, said in (("curl", '"randomize": true'), ("Python", '"randomize": True')):
        await page.get_by_role("tab", name=name, exact=True).click()
        await expect(code).to_contain_text(said)
    await page.keyboard.press("Escape")
    await again.uncheck()
    await page.get_by_role("button", name="As code").click()
    await expect(code).to_contain_text(QWEN)
    await expect(code).not_to_contain_text("randomize")


async def test_tasks_of_a_workflow_are_found_among_all(
    blank: Page, gateway: RunningGateway
) -> None:
    """Also those that the page has not loaded: the first page has 50."""
    page = blank
    old = await gateway.http.post(
        "/api/workflow/submit?wait=60", json={"filename": OTHER, "params": {"steps": 1}}
    )
    task_id = old.json()["task_id"]
    batch = {"steps": list(range(1, 61))}
    body = {"filename": QWEN, "batch": batch}
    many = (await gateway.http.post("/api/workflow/submit", json=body)).json()
    assert len(many["tasks"]) == 60
    await gateway.http.post(f"/api/batch/{many['batch_id']}/cancel")
    await page.goto("/#/tasks")
    await expect(page.locator("task-table .space > .row").first).to_be_visible()
    assert await page.locator(f'.row[data-id="{task_id}"]').count() == 0
    asked: list[str] = []

    def note(request: Request) -> None:
        asked.append(request.url)

    page.on("request", note)
    workflows = page.get_by_label("Workflow", exact=True)
    await workflows.select_option(OTHER)
    row = page.locator("task-table .space > .row")
    await expect(row).to_have_count(1)
    await expect(row).to_have_attribute("data-id", task_id)
    await expect(page.locator("task-table .bar > small")).to_contain_text("1 of 1")
    assert any(f"workflow={OTHER}" in url for url in asked)
    await workflows.select_option("All workflows")
    await expect(row).not_to_have_count(1)
