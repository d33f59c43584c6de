"""Counts work instead of seconds: the same on any machine, however busy it is."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

DEADLINE = 60  # seconds of CPU time, for work without calls; it keeps a test from never ending


class TooMuchWork(AssertionError):
    """Work took more calls, or more time, than it may."""


class Effort:
    """What was counted: calls of functions of Python and of C."""

    calls = 0


@contextmanager
def effort(most: float = float("inf")) -> Iterator[Effort]:
    """Count calls; raises TooMuchWork at the first one that is too many, so that what would take
    hours fails at once.

    What takes long without calls (one call in C, a loop of comparisons) is not seen, and ended at
    the deadline.
    """
    counted = Effort()

    def count(_frame: FrameType, event: str, _argument: Any) -> None:
        if event in ("call", "c_call"):
            counted.calls += 1
            if counted.calls > most:
                raise TooMuchWork(f"more than {most} calls")

    with _deadline():
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            yield counted
        finally:
            sys.setprofile(before)
    assert counted.calls <= most, "TooMuchWork was caught on its way out"


def calls_of(work: Callable[[], object]) -> int:
    """How many calls it takes."""
    with effort() as counted:
        work()
    return counted.calls


@contextmanager
def _deadline() -> Iterator[None]:
    def end(_number: int, _frame: FrameType | None) -> None:
        raise TooMuchWork(f"not done after {DEADLINE} seconds of CPU time")

    before = signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, DEADLINE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
