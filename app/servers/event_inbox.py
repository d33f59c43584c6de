"""The inbox of a run: events of its prompt, up to a limit, and requests of other components."""

import asyncio
from typing import Any

from app.comfyui.events import Event, Preview
from app.limits.worker_threads import Breaths

MOST_EVENTS = 2_000  # maximum waiting events of one run
MOST_BYTES = 64 << 20  # maximum bytes of their images


class EventInbox(asyncio.Queue[Any]):
    """Queue of events of one prompt and of requests to its run."""

    _bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self._breaths = Breaths()

    async def next(self, seconds: float) -> Any:
        """Return the next item, or None after so many seconds.

        Yields to the event loop now and then when many are waiting.
        """
        await self._breaths.take()
        if not self.empty():
            return self.get_nowait()
        try:
            async with asyncio.timeout(seconds):
                return await self.get()
        except TimeoutError:
            return None

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._bytes += _size_of(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= _size_of(item)
        return item

    def offer(self, event: Event) -> None:
        """Put an event unless the inbox is full: the run polls as well, so events may be lost."""
        if self.qsize() < MOST_EVENTS and self._bytes + _size_of(event) <= MOST_BYTES:
            self.put_nowait(event)


def _size_of(item: Any) -> int:
    return len(item.image) if isinstance(item, Preview) else 0
