"""Limits how much work may begin in one turn of the event loop."""

import asyncio
from collections import deque


class Turns:
    """Lets in at most `each` pieces of work per turn of the event loop, in the order of arrival.

    A step of a coroutine waits for all callbacks that are ready before it. Many clients at once
    would make each turn long, and everything else in this process waits for a turn at every step.
    """

    def __init__(self, each: int) -> None:
        self._each = self._left = each
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def take(self) -> None:
        """Return at once while pieces are left in this turn, else in one of the next turns."""
        loop = asyncio.get_running_loop()
        if self._left:
            if self._left == self._each:
                loop.call_soon(self._next, loop)
            self._left -= 1
            return
        place = loop.create_future()
        self._waiting.append(place)
        await place  # a waiter that is cancelled cancels its place, which is passed over

    def _next(self, loop: asyncio.AbstractEventLoop) -> None:
        self._left = self._each
        while self._waiting and self._left:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self._left -= 1
        if self._left < self._each:
            loop.call_soon(self._next, loop)
