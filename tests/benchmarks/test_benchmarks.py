"""The benchmarks run, and their table is what it should be. How fast anything is, is not asked."""

import asyncio
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import ROWS
from benchmarks.figures import percentile, ratios, spread
from benchmarks.report import Row, page
from tests.conftest import ROOT


async def test_all_of_them_run(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks", "--quick", "--no-peers", "--output", str(results)),
        stderr=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    _, errors = await process.communicate()
    said = errors.decode()
    assert process.returncode == 0, said
    assert "failed" not in said
    assert all(f"{name}: " in said for name in ROWS)
    table = [
        line for line in results.read_text(encoding="utf-8").splitlines() if line.startswith("| ")
    ]
    assert len(table) >= len(ROWS)


@pytest.mark.parametrize(("share", "value"), [(0, 1), (0.5, 51), (0.99, 100), (1, 100)])
def test_percentiles(share: float, value: float) -> None:
    assert percentile([float(number) for number in range(100, 0, -1)], share) == value


def test_ratios_are_of_the_same_round() -> None:
    assert ratios([1, 4], [2, 2]) == [0.5, 2]
    assert spread([2, 0.5]) == "0.50 to 2.00"
    assert spread([1, 1]) == "1.00"


@pytest.mark.parametrize(
    ("met", "word"), [(True, "| met |"), (False, "| **MISSED** |"), (None, "| not measured |")]
)
def test_a_row_that_misses_its_goal_is_marked(met: bool | None, word: str) -> None:
    text = page([Row("speed", "fast", "so-so", met, {"gateway": "1/s"}, note="why")], [], "this")
    line = next(line for line in text.splitlines() if line.startswith("| speed"))
    assert word in line
    assert "| 1/s |" in line
    assert "- **speed**: why" in text
    assert f"{int(met is True)} of {int(met is not None)} goals" in text
