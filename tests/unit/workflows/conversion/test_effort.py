"""The bound on the work of one conversion is far above what real files need."""

import pytest

from app.workflows.conversion import convert
from app.workflows.conversion.effort import MAX_STEPS as MOST_EFFORT
from app.workflows.conversion.effort import Effort
from tests.unit.workflows.conversion.official import DIGESTS, OBJECT_INFO, template


def test_real_files_are_far_below_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    spent: list[int] = []
    spend = Effort.spend

    def counted(self: Effort, steps: int) -> None:
        spend(self, steps)
        spent[-1] += steps

    monkeypatch.setattr(Effort, "spend", counted)
    for name in DIGESTS:
        spent.append(0)
        convert(template(name), OBJECT_INFO)
    assert max(spent) < MOST_EFFORT / 50
