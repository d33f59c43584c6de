"""The end by a signal: after what is left to do, whoever raises it and wherever."""

import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator

import pytest

from app.system import console, ending
from tests import windows

ENDING = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def ended() -> Iterator[list[int]]:
    """The signals that have ended this process, in place of its end."""
    numbers: list[int] = []
    former = {
        number: signal.signal(number, lambda number, _: numbers.append(number)) for number in ENDING
    }
    yield numbers
    for number, handler in former.items():
        signal.signal(number, handler)


def handlers() -> list[object]:
    return [signal.getsignal(number) for number in ENDING]


def test_a_signal_ends_the_process_after_what_is_left_to_do(ended: list[int]) -> None:
    before = handlers()
    left = []
    with ending.put_away_first():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            left.append(list(ended))
    assert left == [[]]
    assert ended == ([] if windows.IS_ON or sys.platform == "win32" else [signal.SIGTERM])
    assert handlers() == before


async def test_what_is_left_to_do_is_not_cancelled(ended: list[int]) -> None:
    """As asyncio's handler for SIGINT would, on whose return the rest goes on."""
    done = []

    async def serve() -> None:
        with contextlib.suppress(KeyboardInterrupt), ending.put_away_first():
            try:
                signal.raise_signal(signal.SIGINT)
            finally:
                await asyncio.sleep(0)
                done.append(True)

    await asyncio.create_task(serve())
    assert done == [True]
    assert ended == []


def test_other_ends_pass(ended: list[int]) -> None:
    with pytest.raises(SystemExit, match="3"), ending.put_away_first():
        raise SystemExit(3)
    assert ended == []


@pytest.mark.posix("there is no such signal")
def test_nohup_is_heeded() -> None:
    former = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        console.stop_when_closed()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, former)
