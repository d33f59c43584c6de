"""Work that is done again and again."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from app.limits.periodic import attempt, cancel_all, every, to_its_end, wait_or_timeout

A_DAY = 86_400.0


@asynccontextmanager
async def running(work: Awaitable[None]) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.ensure_future(work)
    try:
        yield task
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def failing(*errors: Exception | None) -> tuple[Callable[[], Awaitable[None]], asyncio.Event]:
    """Work that raises one of them after the other, and the event of having come to the last."""
    left, done = list(errors), asyncio.Event()

    async def work() -> None:
        error = left.pop(0) if left else None
        if not left:
            done.set()
        if error is not None:
            raise error

    return work, done


async def test_it_goes_on_after_errors_and_logs_each_kind_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    work, done = failing(OSError("a"), OSError("b"), ValueError("c"), None, ValueError("d"), None)
    async with running(every(0, work, "looking")):
        await asyncio.wait_for(done.wait(), 5)
    logged = [str(record.exc_info[1]) for record in caplog.records if record.exc_info]
    assert logged == ["a", "c", "d"]
    assert {record.getMessage() for record in caplog.records} == {"looking failed"}


async def test_it_is_woken_also_by_what_comes_during_a_call() -> None:
    wake, calls = asyncio.Event(), 0
    done = asyncio.Event()

    async def work() -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            wake.set()
        else:
            done.set()

    async with running(every(A_DAY, work, "looking", wake)):
        await asyncio.wait_for(done.wait(), 5)
    assert calls == 3


async def test_the_first_call_may_wait() -> None:
    wake, called = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        called.set()

    async with running(every(A_DAY, work, "looking", wake, at_once=False)):
        assert not await wait_or_timeout(called, 0.01)
        wake.set()
        assert await wait_or_timeout(called, 5)


async def test_the_pause_may_differ_each_time() -> None:
    pauses, done = iter([0.0, 0.0, A_DAY]), asyncio.Event()

    def pause() -> float:
        seconds = next(pauses)
        if seconds:
            done.set()
        return seconds

    work, came_to_the_last = failing(None, None, None)
    async with running(every(pause, work, "looking")):
        await asyncio.wait_for(done.wait(), 5)
    assert came_to_the_last.is_set()


async def test_an_attempt_tells_what_was_raised() -> None:
    work, _ = failing(OSError("a"), None)
    assert await attempt(work, "looking") is OSError
    assert await attempt(work, "looking") is None


async def test_an_attempt_is_no_shield_from_cancels() -> None:
    async def work() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await attempt(work, "looking")


async def test_an_event_or_time() -> None:
    event = asyncio.Event()
    assert not await wait_or_timeout(event, 0.01)
    event.set()
    assert await wait_or_timeout(event, 0)


async def test_work_comes_to_its_end_however_often_it_is_canceled() -> None:
    begun, go, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work() -> int:
        begun.set()
        await go.wait()
        ended.set()
        return 7

    task = asyncio.create_task(to_its_end(work()))
    await begun.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
    begun.clear()
    assert await to_its_end(work()) == 7


async def test_what_work_raises_is_raised_canceled_or_not() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise KeyError("x")

    with pytest.raises(KeyError):
        await to_its_end(work())
    task = asyncio.create_task(to_its_end(work()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(KeyError):
        await task


async def test_cancel_all_waits_for_those_that_take_their_time() -> None:
    ended = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.set()

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    await cancel_all([task])
    assert ended.is_set()
    assert task.cancelled()
