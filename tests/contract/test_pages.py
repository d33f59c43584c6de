"""The Markdown pages among themselves: links lead somewhere, Chinese pages match their twins."""

import re
from pathlib import Path

import pytest

from app.errors import GatewayError
from tests.acceptance.documents import problems_in
from tests.contract.test_docs import every_error

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
TWINS = [
    (ROOT / f"{name}.md", ROOT / f"{name}.zh-CN.md")
    for name in ("README", "POSTMAN_GUIDE", "API_USAGE", "docs/why", "docs/clients")
]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name_of(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else ""


def without_code(text: str) -> str:
    return FENCED.sub("", text)


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ .*$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)


def anchors(page: Path) -> list[str]:
    """As GitHub makes them out of headings."""
    return [
        re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")
        for heading in headings(page)
    ]


def sections(page: Path) -> list[str]:
    """What stands before the first heading and under each one, without code blocks."""
    text = without_code(page.read_text(encoding="utf-8"))
    return re.split(r"^#+ .*$", text, flags=re.MULTILINE)


def named(text: str) -> set[str]:
    """What stands in `code`."""
    return {" ".join(word.split()) for word in re.findall(r"`([^`]+)`", text)}


def rows(section: str) -> list[set[str]]:
    """The rows of its tables, each as what its first column has in `code`."""
    return [named(cell) for cell in re.findall(r"^\|((?:[^|`]|`[^`]*`)*)\|", section, re.MULTILINE)]


def links(page: Path) -> set[str]:
    text = without_code(page.read_text(encoding="utf-8"))
    return {link for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=name_of)
def test_twins_have_the_same_headings_code_and_links(english: Path, chinese: Path) -> None:
    levels = [[heading.split(" ")[0] for heading in headings(page)] for page in (english, chinese)]
    assert levels[0] == levels[1]
    texts = [page.read_text(encoding="utf-8") for page in (english, chinese)]
    assert FENCED.findall(texts[0]) == FENCED.findall(texts[1])
    files = [
        {link.partition("#")[0].replace(".zh-CN", "") for link in links(page)}
        for page in (english, chinese)
    ]
    assert files[0] - {english.name, ""} == files[1] - {english.name, ""}


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=name_of)
def test_twins_name_the_same_things_in_each_section(english: Path, chinese: Path) -> None:
    """What stands in `code` needs no translation."""
    titles = ["the top", *headings(english)]
    for title, whole, twin in zip(titles, sections(english), sections(chinese), strict=True):
        assert named(whole) == named(twin), title
        assert rows(whole) == rows(twin), title


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=name_of)
def test_twins_refer_to_the_same_places_of_their_own(english: Path, chinese: Path) -> None:
    """Links within the page lead to the same headings, counted from the top."""
    places = [
        sorted(anchors(page).index(link[1:]) for link in links(page) if link.startswith("#"))
        for page in (english, chinese)
    ]
    assert places[0] == places[1]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_problems_that_are_shown_are_ours(page: Path) -> None:
    """Code, status and title of a problem in a JSON block are those of the error's class."""
    known: dict[str, type[GatewayError]] = {error.code: error for error in every_error()}
    for problem in problems_in(page):
        if problem["type"] == "about:blank":
            continue
        error = known[problem["code"]]
        assert problem["type"] == f"urn:comfyui-gateway:{error.code}"
        assert problem["status"] == error.status
