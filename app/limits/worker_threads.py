"""Threads for work that would hold up the event loop, and memory for bodies, shared out among
callers.

A caller is an API key, or a client's address where no keys are in use. Each has a few places of its
own, so that the heavy requests of one never stand in front of another's. A thread cannot be
stopped: whatever runs here must be bounded by its input.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

MAX_THREADS = 4
PER_CALLER = 2
STRETCH = 0.005  # seconds of the event loop that one loop takes before it lets others in

_caller: ContextVar[str] = ContextVar("caller", default="")


@contextmanager
def working_for(caller: str) -> Iterator[None]:
    """Whom all work in this context counts for; "" is the gateway itself."""
    token = _caller.set(caller)
    try:
        yield
    finally:
        _caller.reset(token)


def caller() -> str:
    """Whom work counts for here."""
    return _caller.get()


@dataclass(slots=True)
class _Own:
    """The places of one caller; `wanted_by` counts its work that has one or waits."""

    free: asyncio.Semaphore
    wanted_by: int = field(default=0)


class CallerSlots:
    """So many for each caller; the gateway itself has as many as it wants, if `free` says so."""

    def __init__(self, each: int, *, free: bool = False) -> None:
        self._each = each
        self._is_free = free
        self._callers: dict[str, _Own] = {}  # that have one, or wait, at this moment

    async def take(self) -> Callable[[], None]:
        """Wait for a place; answers what gives it back."""
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
    """`threads` run at a time, `per_caller` of them for one caller; what is more waits in order."""

    def __init__(self, threads: int = MAX_THREADS, per_caller: int = PER_CALLER) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="work")
        self._slots = CallerSlots(per_caller)

    async def run(self, work: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
        """Call `work` with the rest in a thread; answers or raises what it does. Its place stays
        taken until it ends, even if nobody waits for it any more."""
        give_back = await self._slots.take()
        running = self._threads.submit(copy_context().run, partial(work, *args, **options))
        loop = asyncio.get_running_loop()

        def ended(_: "Future[T]") -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(give_back)

        running.add_done_callback(ended)
        return await asyncio.wrap_future(running)

    def close(self) -> None:
        """Nothing new begins; what runs goes on to its end."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class MemoryBudget:
    """`total` bytes, `per_caller` of them for one caller; who wants more waits in order."""

    def __init__(self, total: int, per_caller: int) -> None:
        self._free = total
        self._per_caller = min(per_caller, total)
        self._taken: Counter[str] = Counter()  # by caller
        self._waiting: list[_Wish] = []

    async def take(self, size: int, seconds: float) -> Callable[[], None]:
        """Wait until there is room for so many bytes, or for as many as a caller may have; answers
        what gives it back. Raises TimeoutError after so many seconds."""
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
        behind: set[str] = set()  # callers of whom somebody waits further in front
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
        """Once; also of a wish that was not fulfilled."""
        if wish.admitted.is_set():
            self._free += wish.size
            self._taken[wish.caller] -= wish.size
            self._taken += Counter()  # without zeros
            wish.size = 0
        elif wish in self._waiting:
            self._waiting.remove(wish)
        self._admit()


class Breaths:
    """For a loop that finds its next item there already: awaiting that lets nobody else in."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    async def take(self) -> None:
        """Let others in if this was not called for STRETCH seconds."""
        if time.monotonic() - self._since > STRETCH:
            await asyncio.sleep(0)
            self._since = time.monotonic()


@dataclass(slots=True, eq=False)
class _Wish:
    caller: str
    size: int
    admitted: asyncio.Event = field(default_factory=asyncio.Event)
