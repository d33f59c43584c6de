"""The page and the two of the documentation as they are answered."""

import pytest

from app.settings import VERSION
from tests.conftest import RunningGateway

PAGES = ["/", "/docs", "/redoc"]


@pytest.mark.parametrize("path", PAGES)
async def test_is_read_again_only_if_it_changed(gateway: RunningGateway, path: str) -> None:
    answer = await gateway.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert VERSION in answer.text
    again = await gateway.http.get(path, headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status_code == 304
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert not again.content
    head = await gateway.http.head(path)
    assert head.status_code == 200
    assert head.headers["ETag"] == answer.headers["ETag"]


async def test_templates_are_not_served(gateway: RunningGateway) -> None:
    for path in (
        "/static/index.html",
        "/static/page.html",
        "/static/../app/api/templates/page.html",
    ):
        assert (await gateway.http.get(path)).status_code == 404
