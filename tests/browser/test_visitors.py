"""Tests that share a context of the browser find nothing there of each other."""

import pytest
from playwright.async_api import Browser

from tests.browser.conftest import visitor
from tests.conftest import RunningGateway


async def test_nothing_is_left_by_the_visitor_before(
    browser: Browser, gateway: RunningGateway
) -> None:
    left = "[localStorage.length, sessionStorage.length, document.cookie]"
    async with visitor(browser, gateway) as page:
        await page.goto("/api/health")
        script = "localStorage.a = sessionStorage.a = 1; document.cookie = 'a=1; max-age=99'"
        await page.evaluate(script)
        assert await page.evaluate(left) == [1, 1, "a=1"]
    async with visitor(browser, gateway) as page:
        await page.goto("/api/health")
        assert await page.evaluate(left) == [0, 0, ""]


async def test_a_clock_that_would_stay_is_refused(
    browser: Browser, gateway: RunningGateway
) -> None:
    with pytest.raises(AssertionError, match="take `timed`"):
        async with visitor(browser, gateway) as page:
            await page.evaluate("window.setTimeout = () => {}")
