"""Commands for bash have their twins for PowerShell, which do the same."""

import re

import pytest

from tests.acceptance.documents import Block, blocks_of
from tests.contract.test_pages import ROOT
from tests.powershell import commands_of, in_bash, literal

FOR_BOTH = ("README.md", "examples/README.md")
DOCS = ("docs/deployment.md", "docs/security.md")
PAGES = [str(page.relative_to(ROOT)) for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))]


def blocks(page: str) -> list[Block]:
    return blocks_of(ROOT / page, ROOT)


@pytest.mark.parametrize("page", FOR_BOTH)
def test_every_command_of_bash_has_its_twin(page: str) -> None:
    wanted = [block for block in blocks(page) if block.language == "bash"]
    wanted = [block for block in wanted if commands_of(block.content)]
    twins = [block.twin for block in blocks(page) if block.twin]
    assert [block.place for block in wanted] == [block.place for block in twins]
    assert twins


def test_what_adds_to_the_settings_has_its_twin() -> None:
    """5.1's `>>` would write UTF-16 into them."""
    found = {page: blocks(page) for page in PAGES}
    wanted = [b.place for page in found.values() for b in page if ">> .env" in b.content]
    twins = {b.twin.place for page in found.values() for b in page if b.twin}
    assert len(wanted) > 4
    assert set(wanted) <= twins


@pytest.mark.parametrize("page", [*FOR_BOTH, "API_USAGE.md", *DOCS])
def test_twins_do_the_same(page: str) -> None:
    for block in blocks(page):
        if block.language == "powershell":
            commands = commands_of(in_bash(block.content))
            assert commands, block.place
            if block.twin:
                assert commands == commands_of(block.twin.content), block.place


@pytest.mark.parametrize(
    "line",
    [
        "curl http://localhost:8000/api/tasks",  # another command in 5.1
        """curl.exe -d '{"a": 1}' http://localhost:8000""",  # 5.1 takes the quotes away
        "curl.exe -d @a.json http://localhost:8000",  # a splatted variable
        "curl.exe http://localhost:8000/?a=1&b=2",
        "'{\"prompt\": \"\u96ea\"}' | curl.exe --data-binary '@-' http://localhost:8000",
        "Invoke-RestMethod http://localhost:8000 -Form @{ a = 'b' }",  # not in 5.1
        "Invoke-RestMethod -Method Post -Uri http://a -ContentType application/json -Body '{}'",
        "Add-Content .env 'A=b'",
        "echo A=b >> .env",  # UTF-16 in 5.1
        'Invoke-RestMethod "http://localhost:8000/$id"',
        "export A=b",
        "curl.exe 'http://localhost:8000",
    ],
)
def test_what_only_one_of_both_versions_understands_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        in_bash(line)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("'it''s'", "it's"),
        ("'a\u2019\u2019b'", "a\u2019b"),
        ("'$x `n \"q\"'", '$x `n "q"'),
        ("@'\nit's\n'@", "it's"),
        ("@'\na\n @'\n'@", "a\n @'"),
    ],
)
def test_strings_hold_what_powershells_tokenizer_reads(written: str, value: str) -> None:
    assert literal(written) == value


@pytest.mark.parametrize("written", ["'it's'", "'a\u2019b'", "@'\na\n'@ b\n'@"])
def test_strings_that_end_too_early_are_found(written: str) -> None:
    with pytest.raises(ValueError, match="before its end"):
        literal(written)


def test_twins_are_compared_by_what_they_send() -> None:
    bash = "curl -X POST http://a -H 'Content-Type: application/json' -d '{\"a\": 1}'"
    shell = "Invoke-RestMethod -Method Post -Uri http://a -ContentType '{}' -Body '{}'"
    shell = shell.format("application/json; charset=utf-8", '{{"a":1}}')
    assert commands_of(in_bash(shell.replace("{{", "{").replace("}}", "}"))) == commands_of(bash)
    assert commands_of(re.sub("1", "2", bash)) != commands_of(bash)
