"""Prompts for one server go there in the order in which they were given to it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

MAX_WAIT = 1.0  # seconds: a server that does not answer one must not keep all others waiting


class FifoLock:
    """First come, first served; but nobody waits longer than a moment for those before."""

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
