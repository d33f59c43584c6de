"""The counter of work that tests of hostile input rely on."""

from contextlib import suppress

import pytest

from tests import effort


def squares(count: int) -> None:
    for _ in range(count):
        for _ in range(count):
            abs(1)


def for_ever() -> None:
    while True:
        pass


def test_work_is_counted() -> None:
    assert 100 <= effort.calls_of(lambda: squares(10)) < 110
    assert effort.calls_of(lambda: squares(20)) > 3 * effort.calls_of(lambda: squares(10))


def test_too_much_work_ends_at_once() -> None:
    with pytest.raises(effort.TooMuchWork, match="more than 50 calls"), effort.effort(50):
        squares(10**6)
    with pytest.raises(AssertionError, match="caught"), effort.effort(50), suppress(Exception):
        squares(10**6)


def test_work_without_calls_ends_at_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(effort, "DEADLINE", 0.05)
    with pytest.raises(effort.TooMuchWork, match="of CPU time"), effort.effort():
        for_ever()
