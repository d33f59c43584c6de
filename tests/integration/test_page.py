"""The page and the two of the documentation as they are answered."""

import re
from urllib.parse import urljoin, urlsplit

import httpx
import pytest

from app.api.routers import page
from app.settings import VERSION
from tests.conftest import RunningGateway

PAGES = ["/", "/docs", "/redoc"]
ADDRESS = re.compile(r'(?:href|src|data-openapi)="([^"]*)"')
HOSTILE = '/"><script>alert(1)</script>'


def below(path: str) -> dict[str, str]:
    return {"X-Forwarded-Prefix": path}


def addresses(answer: httpx.Response, place: str) -> set[str]:
    """The paths that the page leads to where it is at that place."""
    found = ADDRESS.findall(answer.text)
    base = re.search(r'<base href="([^"]*)">', answer.text)
    where = urljoin(f"http://gateway{place}", base[1] if base else "")
    return {urlsplit(urljoin(where, address)).path for address in found}


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("base", ["", "/comfy", "/a/long.er/path"])
async def test_addresses_are_below_the_path(gateway: RunningGateway, path: str, base: str) -> None:
    answer = await gateway.http.get(path, headers=below(base))
    found = addresses(answer, base + path)
    assert len(found) > 3
    for address in found:
        assert address.startswith(f"{base}/")
        assert (await gateway.http.get(address.removeprefix(base))).status_code == 200


@pytest.mark.parametrize("path", PAGES)
async def test_a_header_gets_nothing_into_the_page(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    plain = (await gateway.http.get(path)).text
    for told in (
        HOSTILE,
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "/a b",
        "/..",
    ):
        assert (await gateway.http.get(path, headers=below(told))).text == plain
    monkeypatch.setattr(page, "base_path_of", lambda _: HOSTILE)  # if it were let through
    text = (await gateway.http.get(path)).text
    assert "/&#34;&gt;&lt;script&gt;" in text
    assert "alert(1)</script>" not in text


@pytest.mark.parametrize("path", PAGES)
async def test_is_read_again_only_if_it_changed(gateway: RunningGateway, path: str) -> None:
    answer = await gateway.http.get(path)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert VERSION in answer.text
    known = {"If-None-Match": answer.headers["ETag"]}
    again = await gateway.http.get(path, headers=known)
    assert again.status_code == 304
    assert again.headers["ETag"] == answer.headers["ETag"]
    assert not again.content
    elsewhere = await gateway.http.get(path, headers={**known, **below("/comfy")})
    assert elsewhere.status_code == 200
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
