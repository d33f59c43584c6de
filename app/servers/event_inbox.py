"""What waits for whoever drives a prompt: its events, within a bound, and what others ask."""

import asyncio
from typing import Any

from app.comfyui.events import Event, Preview
from app.limits.worker_threads import Breaths

MOST_EVENTS = 2_000  # that wait for one run
MOST_BYTES = 64 << 20  # of their pictures


class EventInbox(asyncio.Queue[Any]):
    """Events of one prompt, and what others put in for its runner."""

    _bytes = 0

    def __init__(self) -> None:
        super().__init__()
        self._breaths = Breaths()

    async def get(self) -> Any:
        """The next one. Others are let in between many."""
        await self._breaths.take()
        return await super().get()

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._bytes += _size_of(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= _size_of(item)
        return item

    def offer(self, event: Event) -> None:
        """Take an event unless too much waits: whoever reads it looks for itself, too."""
        if self.qsize() < MOST_EVENTS and self._bytes + _size_of(event) <= MOST_BYTES:
            self.put_nowait(event)


def _size_of(item: Any) -> int:
    return len(item.image) if isinstance(item, Preview) else 0
