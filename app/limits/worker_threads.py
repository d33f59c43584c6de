"""Threads for blocking work, and memory for bodies, shared fairly among callers.

A caller is an API key, or the client's address without keys. Each caller has a few slots of its
own, so that heavy requests of one caller do not delay those of others. Threads cannot be stopped:
work that runs here must be bounded by its input.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_THREADS = 4
PER_CALLER = 2
STRETCH = 0.005  # seconds for which one loop may occupy the event loop

_caller: ContextVar[str] = ContextVar("caller", default="")


class working_for:  # each request is in one: a generator would take three times as long
    """Account all work in this context to `caller`; "" is the gateway itself."""

    __slots__ = ("_name", "_token")

    def __init__(self, caller: str) -> None:
        self._name = caller

    def __enter__(self) -> None:
        self._token = _caller.set(self._name)

    def __exit__(self, *_: object) -> None:
        _caller.reset(self._token)


def caller() -> str:
    """Return the caller of this context."""
    return _caller.get()


@dataclass(slots=True)
class _Own:
    """The slots of one caller; `wanted_by` counts holders and waiters."""

    free: asyncio.Semaphore
    wanted_by: int = field(default=0)


class CallerSlots:
    """A number of slots for each caller; unlimited for the gateway itself with `free`."""

    def __init__(self, each: int, *, free: bool = False) -> None:
        self._each = each
        self._is_free = free
        self._callers: dict[str, _Own] = {}  # callers that hold a slot or wait for one

    async def take(self) -> Callable[[], None]:
        """Wait for a slot; return a function that releases it."""
        caller = _caller.get()
        if self._is_free and not caller:
            return lambda: None
        own = self._callers.setdefault(caller, _Own(asyncio.Semaphore(self._each)))
        own.wanted_by += 1
        try:
            await own.free.acquire()
        except asyncio.CancelledError:
            self._leave(caller, own)
            raise

        def give_back() -> None:
            own.free.release()
            self._leave(caller, own)

        return give_back

    def _leave(self, caller: str, own: _Own) -> None:
        own.wanted_by -= 1
        if not own.wanted_by:
            del self._callers[caller]


class Workers:
    """A pool of `threads`, at most `per_caller` of them for one caller; further work waits in
    order."""

    def __init__(self, threads: int = MAX_THREADS, per_caller: int = PER_CALLER) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._slots = CallerSlots(per_caller)

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Call `work` in a thread and return its result.

        The slot is held until it ends, even if the caller is cancelled.
        """
        give_back = await self._slots.take()
        running = self._threads.submit(copy_context().run, partial(work, *args, **options))
        loop = asyncio.get_running_loop()

        def ended(_: "Future[T]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(give_back)

        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

    async def unless(
        self, small: bool, work: Callable[P, T], *args: P.args, **options: P.kwargs
    ) -> T:
        """Call `work` in a thread unless it is small: a hop takes 0.1 ms, and both want the GIL."""
        return work(*args, **options) if small else await self.run(work, *args, **options)

    def close(self) -> None:
        """Start no further work; running work continues."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class MemoryBudget:
    """A budget of `total` bytes, at most `per_caller` per caller; others wait in order."""

    def __init__(self, total: int, per_caller: int) -> None:
        self._free = total
        self._per_caller = min(per_caller, total)
        self._taken: Counter[str] = Counter()  # by caller
        self._waiting: list[_Wish] = []

    async def take(self, size: int, seconds: float) -> Callable[[], None]:
        """Wait for `size` bytes, at most the caller's share; return a function that releases them.

        Raises TimeoutError after `seconds`.
        """
        wish = _Wish(_caller.get(), min(size, self._per_caller))
        self._waiting.append(wish)
        self._admit()
        try:
            async with asyncio.timeout(seconds):
                await wish.admitted.wait()
        except BaseException:
            self._give_back(wish)
            raise
        return partial(self._give_back, wish)

    def _admit(self) -> None:
        behind: set[str] = set()  # callers with an earlier request that waits
        for wish in [*self._waiting]:
            room = min(self._free, self._per_caller - self._taken[wish.caller])
            if wish.caller in behind or wish.size > room:
                behind.add(wish.caller)
                continue
            self._waiting.remove(wish)
            self._free -= wish.size
            self._taken[wish.caller] += wish.size
            wish.admitted.set()

    def _give_back(self, wish: "_Wish") -> None:
        """Release the bytes, or withdraw a waiting request; at most once."""
        if wish.admitted.is_set():
            self._free += wish.size
            self._taken[wish.caller] -= wish.size
            self._taken += Counter()  # remove zeros
            wish.size = 0
        elif wish in self._waiting:
            self._waiting.remove(wish)
        self._admit()


class Breaths:
    """Yields for loops whose awaits return immediately, without yielding to the event loop."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def take(self) -> None:
        """Yield if the last yield was more than STRETCH seconds ago."""
        if time.monotonic() - self._since > STRETCH:
            await asyncio.sleep(0)
            self._since = time.monotonic()


@dataclass(slots=True, eq=False)
class _Wish:
    caller: str
    size: int
    admitted: asyncio.Event = field(default_factory=asyncio.Event)
