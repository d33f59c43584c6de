"""Requests to a server that are ended when the server is given up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from app.errors import ComfyUnreachable


class OpenRequests:
    """`why_ended` returns a message for people."""

    def __init__(self, why_ended: Callable[[], str]) -> None:
        self._why_ended = why_ended
        self._asking: set[asyncio.Timeout] = set()

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Count a request as open; raise ComfyUnreachable if it is ended."""
        try:
            async with asyncio.timeout(None) as scope:
                self._asking.add(scope)
                try:
                    yield
                finally:
                    self._asking.discard(scope)
        except TimeoutError as error:
            raise ComfyUnreachable(self._why_ended()) from error

    def end_all(self) -> None:
        for scope in self._asking:
            scope.reschedule(asyncio.get_running_loop().time())
