"""A gateway that wants an API key: the page asks for it, keeps it, sends it with all it fetches."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from fastapi import FastAPI
from playwright.async_api import Browser, expect
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.config import Settings
from app.demo.server import DemoServer
from app.main import create_app
from tests.browser.conftest import on_loop, visitor
from tests.browser.helpers import QWEN, run
from tests.conftest import RunningGateway, run_gateway

KEY = "gw_Some-Key_42"
REFUSED = {"title": "Unauthorized", "status": 401, "code": "unauthorized", "detail": "No key."}


class Gate:
    """Lets the API and the WebSocket be used with the key alone."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await self.websocket(scope, receive, send)
        is_free = scope["type"] == "lifespan" or not scope["path"].startswith("/api/")
        if is_free or HTTPConnection(scope).headers.get("authorization") == f"Bearer {KEY}":
            return await self.app(scope, receive, send)
        return await JSONResponse(REFUSED, 401)(scope, receive, send)

    async def websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def accept(message: Message) -> None:
            if message["type"] == "websocket.accept":
                message = {**message, "subprotocol": "comfyui-gateway"}
            await send(message)

        if scope["subprotocols"] != ["comfyui-gateway", f"key.{KEY}"]:
            return await send({"type": "websocket.close", "code": 1008})
        return await self.app(scope, receive, accept)


@on_loop
async def locked(
    demo: DemoServer,
    settings_for: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[RunningGateway]:
    def create(settings: Settings) -> FastAPI:
        app = create_app(settings)
        app.add_middleware(Gate)
        return app

    monkeypatch.setattr("tests.conftest.create_app", create)
    (tmp_path / "workflows").symlink_to(Path(__file__).parents[2] / "workflows")
    async with run_gateway(settings_for(demo.address)) as running:
        await running.online()
        yield running


def refusals(fault: str) -> bool:
    return "status of 401" in fault or "WebSocket connection" in fault


@pytest.mark.parametrize("view", [f"run/{QWEN}", "tasks"])
async def test_asks_for_the_key_and_keeps_it(
    browser: Browser, locked: RunningGateway, view: str
) -> None:
    async with visitor(browser, locked, expected=refusals) as page:
        await page.goto(f"/#/{view}")
        dialog = page.get_by_role("dialog")
        await expect(dialog).to_contain_text("answers only with a key")
        await dialog.get_by_label("Key of this gateway").fill("wrong")
        await page.keyboard.press("Enter")
        await expect(dialog).to_contain_text("does not take this key")
        await dialog.get_by_label("Key of this gateway").fill(KEY)
        await page.keyboard.press("Enter")
        await expect(dialog).to_have_count(0)
        await expect(page.locator("[data-part=socket]")).to_have_text("live")

        await page.goto(f"/#/run/{QWEN}")
        await expect(page.locator("parameter-field").first).to_be_visible()
        picture = (await run(page)).locator(".outputs img")
        await expect(picture).not_to_have_js_property("naturalWidth", 0)
        await page.reload()
        await expect(page.locator("[data-part=socket]")).to_have_text("live")
        await expect(page.locator("result-tile .outputs img")).to_be_visible()
        async with page.expect_download() as file:
            await page.locator("result-tile .picture").click()
            await page.get_by_role("dialog").get_by_role("button", name="Download").click()
        assert (await (await file.value).path()).read_bytes().startswith(b"\x89PNG")


async def test_who_has_no_key_is_asked_once(browser: Browser, locked: RunningGateway) -> None:
    async with visitor(browser, locked, expected=refusals) as page:
        await page.goto(f"/#/run/{QWEN}")
        await page.get_by_role("dialog").get_by_role("button", name="Close").click()
        await expect(page.locator("[data-part=socket]")).to_have_text("API key needed")
        async with page.expect_event("websocket"):  # it goes on trying
            pass
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Change the API key").click()
        await page.get_by_label("Key of this gateway").fill(KEY)
        await page.keyboard.press("Enter")
        await expect(page.locator("parameter-field").first).to_be_visible()
        await expect(page.locator("[data-part=socket]")).to_have_text("live")
