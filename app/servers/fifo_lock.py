"""A lock that keeps the order in which prompts were assigned to a server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_WAIT = 1.0  # seconds; one unanswered POST must not block all others


class FifoLock:
    """A FIFO lock whose waiters enter without the lock after `max_wait` seconds."""

    def __init__(self, max_wait: float = MAX_WAIT) -> None:
        self._lock = asyncio.Lock()
        self._max_wait = max_wait

    @asynccontextmanager
    async def next(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._max_wait):
                await self._lock.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            self._lock.release()
