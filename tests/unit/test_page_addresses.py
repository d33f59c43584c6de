"""Addresses in the page: relative to its base, as that may be below a path; of no other host."""

import re

import pytest

from app.main import ROUTERS, STATIC
from tests.conftest import ROOT

TEMPLATES = ROOT / "app" / "api" / "templates"
FILES = sorted(
    path
    for folder in (STATIC, TEMPLATES)
    for path in folder.rglob("*")
    if path.suffix in (".js", ".css", ".html", ".svg") and "vendor" not in path.parts
)
PATHS = [getattr(route, "path", "/") for router in ROUTERS for route in router.routes]
FIRST = {path.split("/")[1] for path in PATHS}
OURS = "|".join(sorted({*FIRST, "static", "docs", "redoc", "openapi.json"} - {""}))
# In literals, attributes and url(): "/api/tasks", `/api/task/${id}`, url(/static/x.svg); and after
# the host of an address that is put together.
ABSOLUTE = re.compile(rf"""(?:["'`=]|url\(|\bhost\}}|\borigin\}})/(?:{OURS})(?=[/"'`?#)\s>]|$)""")
HOST = re.compile(r"""(?:https?:)?//[\w.-]+\.[a-z]{2,}\b[^\s"'`)<]*""")
IN_COMMENT = re.compile(r"^\s*(?://|/\*|\*|<!--)")
# Names that are no addresses, and what is hidden.
ALLOWED = {"http://www.w3.org/2000/svg", "https://redocly.com/redoc/"}


def absolute(line: str) -> bool:
    return ABSOLUTE.search(line) is not None


def hosts(line: str) -> set[str]:
    return set() if IN_COMMENT.match(line) else set(HOST.findall(line)) - ALLOWED


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('get("/api/tasks")', True),
        ("fetch(`/api/task/${id}/events`)", True),
        ("new WebSocket(`ws://${location.host}/ws`)", True),
        ("`${location.origin}/api/tasks`", True),
        ('src="/static/icon.svg"', True),
        ("background: url(/static/chevron.svg)", True),
        ("fetch('/openapi.json')", True),
        ("<a href=/docs>", True),
        ('get("api/tasks")', False),
        ('href: "#/tasks"', False),
        ('text.replace(/api/, "")', False),
        ('src="{{ base }}/static/icon.svg"', False),
        ('import "../../api/api.js"', False),
        ('el("p", {}, "/tasks")', False),
    ],
)
def test_what_is_absolute(line: str, expected: bool) -> None:
    assert absolute(line) == expected


def test_what_names_a_host() -> None:
    assert hosts('link.href = "https://github.com/some/docs"')
    assert hosts("src: '//cdn.example.org/x.js'")
    assert not hosts('createElementNS("http://www.w3.org/2000/svg", "svg")')
    assert not hosts('"http://localhost:8000"')


def test_no_address_is_absolute_or_of_another_host() -> None:
    assert len(FILES) > 140
    assert {"api", "ws"} <= FIRST
    lines = [
        (str(path.relative_to(ROOT)), number, line)
        for path in FILES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]
    assert [each for each in lines if absolute(each[2])] == []
    assert [each for each in lines if hosts(each[2])] == []


def test_what_others_wrote_comes_with_its_licence() -> None:
    readme = (STATIC / "vendor" / "README.md").read_text(encoding="utf-8")
    folders = [path for path in (STATIC / "vendor").iterdir() if path.is_dir()]
    assert len(folders) == 3
    for folder in folders:
        assert (folder / "LICENSE").exists()
        package = (folder / "package.json").read_text(encoding="utf-8")
        version = re.search(r'"version": "([^"]+)"', package)
        assert version
        assert f" {version[1]}: " in readme.partition(f"| `{folder.name}` |")[2]
