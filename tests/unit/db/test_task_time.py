"""Tasks are ordered by a time that rises, whatever the clock does."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from app.db import task_time
from app.db.task_time import SET_BACK, RisingClock

NOW = 1_790_000_000.0


def clock_at(monkeypatch: pytest.MonkeyPatch, *times: float) -> RisingClock:
    """One whose `time.time` says these, and then the last one for ever."""
    left = list(times)
    told = SimpleNamespace(time=lambda: left.pop(0) if len(left) > 1 else left[0])
    monkeypatch.setattr(task_time, "time", told)
    return RisingClock()


def test_it_rises_while_the_clock_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clock_at(monkeypatch, NOW)
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(lambda _: clock(), range(1000)))
    assert len(set(told)) == len(told)
    assert min(told) == NOW
    assert max(told) < NOW + 0.01


def test_it_is_the_time_as_soon_as_that_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = clock_at(monkeypatch, NOW, NOW, NOW + 1)
    assert [clock() for _ in range(3)][::2] == [NOW, NOW + 1]


@pytest.mark.parametrize(("back", "follows"), [(SET_BACK / 2, False), (SET_BACK * 2, True)])
def test_a_clock_that_is_set_back(
    monkeypatch: pytest.MonkeyPatch, back: float, follows: bool
) -> None:
    clock = clock_at(monkeypatch, NOW, NOW - back)
    first, second = clock(), clock()
    assert (second == NOW - back) if follows else (first < second < NOW + 0.001)
