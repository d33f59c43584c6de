"""Work that a cancel ends: after a short wait, and without a task of its own."""

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

import pytest

from app.runner import cancellation
from app.runner.cancellation import Finish, unless_canceled
from app.tasks.model import CancelReason

ASKED, TIMEOUT = CancelReason.REQUEST, CancelReason.TIMEOUT


async def at_once() -> None:
    pass


async def soon() -> None:
    await asyncio.sleep(0.01)


async def never() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    with contextlib.suppress(asyncio.CancelledError):
        await never()


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "AFTER_CANCEL", 0.1)


@pytest.mark.parametrize(
    ("work", "asked", "seconds", "finish"),
    [
        (at_once(), None, None, Finish(True)),
        (soon(), None, 5, Finish(True)),
        (at_once(), ASKED, None, Finish(True, ASKED)),
        (soon(), ASKED, None, Finish(True, ASKED)),
        (never(), ASKED, None, Finish(False, ASKED)),
        (never(), ASKED, 9, Finish(False, ASKED)),
        (never(), None, 0.01, Finish(False, TIMEOUT)),
        (stubborn(), None, 0.01, Finish(True)),
        (stubborn(), ASKED, None, Finish(True, ASKED)),
    ],
)
async def test_what_becomes_of_it(
    work: Coroutine[Any, Any, None], asked: CancelReason | None, seconds: float, finish: Finish
) -> None:
    canceled: asyncio.Future[CancelReason] = asyncio.Future()
    if asked:
        canceled.set_result(asked)
    before = asyncio.all_tasks()
    assert await unless_canceled(work, canceled, seconds) == finish
    assert asyncio.all_tasks() == before


async def test_a_cancel_that_was_asked_for_before_changes_nothing() -> None:
    assert await unless_canceled(soon(), None) == Finish(True)


async def test_a_cancel_while_it_works() -> None:
    canceled: asyncio.Future[CancelReason] = asyncio.Future()
    asyncio.get_running_loop().call_later(0.01, canceled.set_result, ASKED)
    assert await unless_canceled(never(), canceled) == Finish(False, ASKED)


async def test_a_cancel_as_it_ends() -> None:
    loop, faults = asyncio.get_running_loop(), list[object]()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    canceled: asyncio.Future[CancelReason] = asyncio.Future()

    async def end() -> None:
        canceled.set_result(ASKED)

    assert await unless_canceled(end(), canceled, 5) == Finish(True, ASKED)
    await asyncio.sleep(0)
    assert not faults


@pytest.mark.parametrize("error", [ValueError, TimeoutError])
async def test_its_errors_are_told(error: type[Exception]) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(error):
        await unless_canceled(fail(), asyncio.Future(), 5)
