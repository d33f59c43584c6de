"""Periodic background work, and waiting for an event with a timeout."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

log = logging.getLogger(__name__)

T = TypeVar("T")

Work = Callable[[], Awaitable[object]]
Seconds = float | Callable[[], float]


async def every(
    seconds: Seconds,
    work: Work,
    name: str,
    wake: asyncio.Event | None = None,
    *,
    at_once: bool = True,
) -> None:
    """Call `work` until cancelled: after every `seconds`, or as soon as `wake` is set.

    An exception of `work` does not end it. It is logged with `name` once, and again only after a
    success or if its class differs. If `seconds` is a function, it is evaluated after each call.
    With `at_once=False` the first call is delayed, too. `wake` is cleared before each call, so that
    setting it during a call leads to another one.
    """
    failed: type[Exception] | None = None
    if not at_once:
        await _pause(seconds, wake)
    while True:
        if wake is not None:
            wake.clear()
        failed = await attempt(work, name, failed)
        await _pause(seconds, wake)


async def attempt(
    work: Work, name: str, known: type[Exception] | None = None
) -> type[Exception] | None:
    """Call `work`; return the class of the exception that it raised, or None.

    The exception is logged, unless it is of the class `known`.
    """
    try:
        await work()
    except Exception as error:  # any error: the callers repeat their work, or go on without it
        if type(error) is not known:
            log.exception("%s failed", name)
        return type(error)
    return None


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks and wait until they have ended; their exceptions are ignored."""
    if running := [task for task in tasks if not task.done()]:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` to its end, however often the caller is cancelled meanwhile; return its result.

    The cancel is raised afterwards. `asyncio.shield` alone would leave the work behind.
    """
    running, canceled = asyncio.create_task(work), False
    while not running.done():
        try:
            await asyncio.wait([running])
        except asyncio.CancelledError:
            canceled = True
    if canceled and running.exception() is None:
        raise asyncio.CancelledError
    return running.result()


async def wait_or_timeout(event: asyncio.Event, seconds: float) -> bool:
    """Wait until the event is set; return False after `seconds`."""
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


async def _pause(seconds: Seconds, wake: asyncio.Event | None) -> None:
    seconds = seconds() if callable(seconds) else seconds
    if wake is None:
        await asyncio.sleep(seconds)
    else:
        await wait_or_timeout(wake, seconds)
