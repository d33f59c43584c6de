"""The Markdown pages among themselves: links lead somewhere, Chinese pages match their twins."""

import re
from pathlib import Path

import pytest

from app.errors import GatewayError
from tests.acceptance.documents import problems_in
from tests.contract.test_docs import every_error

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")])
TWINS = [(ROOT / f"{name}.md", ROOT / f"{name}.zh-CN.md") for name in ("README", "POSTMAN_GUIDE")]
FENCED = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name_of(value: object) -> str:
    return str(value.relative_to(ROOT)) if isinstance(value, Path) else ""


def without_code(text: str) -> str:
    return FENCED.sub("", text)


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ .*$", without_code(page.read_text(encoding="utf-8")), re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """As GitHub makes them out of headings."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lstrip("# ").lower()).replace(" ", "-")
        for heading in headings(page)
    }


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
def test_twins_name_the_same_things(english: Path, chinese: Path) -> None:
    """What stands in `code` needs no translation."""
    texts = [without_code(page.read_text(encoding="utf-8")) for page in (english, chinese)]
    words = [{" ".join(word.split()) for word in re.findall(r"`([^`]+)`", text)} for text in texts]
    assert words[0] == words[1]


def test_the_essentials_in_chinese_are_those_of_the_whole() -> None:
    """API_USAGE.zh-CN.md is shorter; what it has of code, errors and statuses is the same."""
    whole, essentials = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("API_USAGE.md", "API_USAGE.zh-CN.md")
    )
    assert set(FENCED.findall(essentials)) <= set(FENCED.findall(whole))
    ours = whole.partition("\n## Comfy API v2\n")[0]
    for rows in (r"^\| `(\w+)` \| (\d{3}) \|", r"^\| `(\w+)` \|"):
        codes = set(re.findall(rows, ours.partition("### Errors")[2].partition("\n### ")[0], re.M))
        assert codes <= set(re.findall(rows, essentials, re.MULTILINE))
    statuses = ours.partition("### Statuses of a task")[2].partition("\n### ")[0]
    for status in re.findall(r"^\| `(\w+)` \|", statuses, re.MULTILINE):
        assert f"\n| `{status}` |" in essentials


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
