"""The view of servers: cards, slots, models, drain and resume, add and remove."""

from playwright.async_api import Page, expect

from fake_comfyui.server import DemoServer
from tests.browser.conftest import assert_fits, on_loop
from tests.conftest import RunningGateway, text_to_image


@on_loop
async def page(blank: Page) -> Page:
    await blank.goto("/#/servers")
    await expect(blank.locator("server-panel .meter").first).to_be_visible()
    return blank


async def test_a_card_tells_and_changes(
    page: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    card = page.get_by_role("article", name=demo.address)
    await expect(card).to_contain_text("online")
    await expect(card.get_by_role("meter", name="VRAM")).to_have_attribute(
        "aria-valuetext", "6.0 GB of 24.0 GB"
    )
    await card.get_by_text("Models").click()
    await card.get_by_label("Search models").fill("v1-5-pruned")
    await expect(card.locator(".folders")).to_contain_text("v1-5-pruned-emaonly")
    await card.get_by_label("Search models").fill("no such model")
    await expect(card).to_contain_text("No model fits.")

    slots = card.get_by_label("Slots")
    await slots.fill("101")
    await slots.press("Enter")
    await expect(card.locator(".slots .bad")).to_be_visible()
    await slots.fill("5")
    await slots.press("Enter")
    await expect(card).to_contain_text("0 of 5 slots")

    await card.get_by_role("button", name="Drain").click()
    await expect(card).to_contain_text("draining")
    await card.get_by_role("button", name="Resume").click()
    await expect(card).to_contain_text("online")
    for width in (390, 1440, 2560):
        await page.set_viewport_size({"width": width, "height": 900})
        await assert_fits(page, width)


async def test_the_header_counts_at_once_what_was_done_here(timed: Page, demo: DemoServer) -> None:
    page = timed
    await page.clock.install()
    await page.goto("/#/servers")
    card = page.get_by_role("article", name=demo.address)
    ready = page.locator("[data-part=health]")
    await expect(card).to_contain_text("online")
    await expect(ready).to_have_text("1 of 1 servers ready")
    await page.clock.pause_at("2099-01-01")
    async with page.expect_response("**/api/health"):
        await page.clock.run_for(6_000)  # from here on no timer ends
    await card.get_by_role("button", name="Drain").click()
    await expect(ready).to_have_text("0 of 1 servers ready")
    await card.get_by_role("button", name="Resume").click()
    await expect(ready).to_have_text("1 of 1 servers ready")


async def test_add_with_errors_beside_the_field_and_remove_by_force(
    page: Page, gateway: RunningGateway, demo: DemoServer
) -> None:
    form = page.locator("server-panel form.add")
    for wrong, said in (("", ""), ("a b", "address"), (demo.address, "")):
        await form.get_by_label("Address").fill(wrong)
        await form.get_by_role("button", name="Add server").click()
        await expect(form.locator(".address .bad")).to_be_visible()
        await expect(form.locator(".address .bad")).to_contain_text(said)
    async with DemoServer(step_seconds=1) as other:
        await form.get_by_label("Address").fill(other.address)
        await form.get_by_label("Slots").fill("3")
        await form.get_by_role("button", name="Add server").click()
        card = page.get_by_role("article", name=other.address)
        await expect(card).to_contain_text("0 of 3 slots")
        task = await gateway.submit(text_to_image(steps=1000), wait=0, server=other.address)
        await gateway.until(task["task_id"], "running")
        await card.get_by_role("button", name="Remove").click()
        dialog = page.get_by_role("dialog")
        await dialog.get_by_role("button", name="Remove").click()
        await dialog.get_by_label("Stop what runs there").check()
        await dialog.get_by_role("button", name="Remove").click()
        await expect(card).to_have_count(0)


async def test_the_addresses_for_clients_of_comfyui(page: Page) -> None:
    doors = page.locator("server-panel .doors")
    base = await page.evaluate("document.baseURI")
    await expect(doors.locator("code")).to_have_text([base, f"{base}comfy/"])
    await page.get_by_label("Language").select_option("zh")
    await expect(doors).to_contain_text("供 ComfyUI 客户端使用")
    for width in (390, 1440):
        await page.set_viewport_size({"width": width, "height": 900})
        await assert_fits(page, width)


async def test_ports_are_told_by_an_address_that_leads_there(page: Page) -> None:
    told = {
        "root": "/",
        "path": "/comfy/",
        "ports": [
            {"host": "127.0.0.1", "port": 8188, "key": "alice"},
            {"host": "::1", "port": 8189, "key": "<b>"},
            {"host": "0.0.0.0", "port": 8190, "key": None},
        ],
    }
    await page.route("**/api/system/info", lambda route: route.fulfill(json={"native": told}))
    await page.reload()
    doors = page.locator("server-panel .doors")
    here = await page.evaluate("location.hostname")
    await expect(doors.locator("code")).to_have_text(
        [
            *(await page.evaluate("[document.baseURI, document.baseURI + 'comfy/']")),
            *("http://127.0.0.1:8188", "http://[::1]:8189", f"http://{here}:8190"),
        ]
    )
    await expect(doors).to_contain_text("as alice")
    await expect(doors).to_contain_text("as <b>")
