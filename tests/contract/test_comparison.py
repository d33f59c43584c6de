"""The comparison in docs/why.md: `tests/proofs.py` names the tests that prove our column."""

import importlib
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.conftest import is_part
from tests.proofs import PROOFS, unproved

ROOT = Path(__file__).parents[2]
NO = "\N{EN DASH}"
NOT_OURS = {"fetches models on request"}


def rows(name: str, heading: str) -> list[list[str]]:
    text = (ROOT / name).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    lines = re.findall(r"^\|(.*)\|$", text.partition("\n## ")[0], re.MULTILINE)[2:]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def test_each_row_has_a_proof_that_exists() -> None:
    table = {row[0]: row[1] for row in rows("docs/why.md", "Compared with others")}
    assert set(table) == {*PROOFS, *NOT_OURS}
    assert {row for row, ours in table.items() if ours == NO} == NOT_OURS


@pytest.mark.parametrize("proof", [proof for proofs in PROOFS.values() for proof in proofs])
def test_the_proof_exists(proof: str) -> None:
    file, _, name = proof.partition("::")
    module = importlib.import_module(f"tests.{file.removesuffix('.py').replace('/', '.')}")
    assert name.startswith("test_")
    assert callable(vars(module)[name])


def test_a_proof_that_fails_or_is_skipped_is_told() -> None:
    every = [f"tests/{proof}" for proofs in PROOFS.values() for proof in proofs]
    assert unproved([*every, f"{every[0]}[sqlite]"], []) == []
    row = next(iter(PROOFS))
    assert unproved(every[1:], []) == [f"{row}: {PROOFS[row][0]}"]
    assert unproved(every, [f"{every[0]}[postgresql]"]) == [f"{row}: {PROOFS[row][0]}"]
    assert unproved([*every[1:], f"{every[0]}_more"], []) == [f"{row}: {PROOFS[row][0]}"]


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({}, False),
        ({"keyword": "", "lf": False, "collectonly": False}, False),
        ({"keyword": "fox"}, True),
        ({"markexpr": "not slow"}, True),
        ({"lf": True}, True),
        ({"collectonly": True}, True),
    ],
)
def test_proofs_are_asked_for_where_all_tests_run(given: dict[str, Any], part: bool) -> None:
    config: Any = SimpleNamespace(
        args_source=pytest.Config.ArgsSource.TESTPATHS,
        ArgsSource=pytest.Config.ArgsSource,
        option=SimpleNamespace(**given),
    )
    assert is_part(config) is part
    config.args_source = pytest.Config.ArgsSource.ARGS
    assert is_part(config)


def test_both_pages_say_the_same() -> None:
    """Cell by cell: what is empty there is empty here."""
    english = rows("docs/why.md", "Compared with others")
    chinese = rows("docs/why.zh-CN.md", "与同类项目的比较")
    words = {"yes": "有", "partly": "部分", "platform": "由平台提供", NO: NO}
    assert len(english) == len(chinese)
    for row, twin in zip(english, chinese, strict=True):
        assert [words.get(cell) for cell in row[1:]] == [
            words.get(cell) and other for cell, other in zip(row[1:], twin[1:], strict=True)
        ]
