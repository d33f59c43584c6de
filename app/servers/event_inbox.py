"""The inbox of a run: events of its prompt, up to a limit, and requests of other components."""

import asyncio
from collections.abc import Callable
from typing import Any

from app.comfyui.events import Event, NodeText, Preview, Unknown
from app.comfyui.socket import Heard
from app.limits.worker_threads import Breaths

MOST_EVENTS = 2_000  # maximum waiting events of one run
MOST_BYTES = 64 << 20  # maximum bytes of their images, and of the frames that are kept

_FOR_CLIENTS = (NodeText, Unknown)  # they mean nothing to a run


class EventInbox(asyncio.Queue[Any]):
    """Queue of events of one prompt and of requests to its run.

    `wants_frames` returns whether events are to come with their frames, and messages that mean
    something to clients only at all.
    """

    _bytes = 0

    def __init__(self, wants_frames: Callable[[], bool] = lambda: False) -> None:
        super().__init__()
        self._wants_frames = wants_frames
        self._breaths = Breaths()
        self.frame: str | bytes | None = None  # of the last item of `next`, if it came with one

    async def next(self, seconds: float) -> Any:
        """Return the next item, or None after so many seconds.

        Yields to the event loop now and then when many are waiting.
        """
        await self._breaths.take()
        self.frame = None
        if not self.empty():
            return self._opened(self.get_nowait())
        try:
            async with asyncio.timeout(seconds):
                return self._opened(await self.get())
        except TimeoutError:
            return None

    def _opened(self, item: Any) -> Any:
        if isinstance(item, Heard):
            item, self.frame = item
        return item

    def _put(self, item: Any) -> None:
        super()._put(item)
        self._bytes += _size_of(item)

    def _get(self) -> Any:
        item = super()._get()
        self._bytes -= _size_of(item)
        return item

    def offer(self, event: Event, frame: str | bytes = "") -> None:
        """Put an event unless the inbox is full: the run polls as well, so events may be lost."""
        item: Event | Heard = event
        if self._wants_frames():
            item = Heard(event, frame)
        elif type(event) in _FOR_CLIENTS:
            return
        if self.qsize() < MOST_EVENTS and self._bytes + _size_of(item) <= MOST_BYTES:
            self.put_nowait(item)


def _size_of(item: Any) -> int:
    kind = type(item)
    if kind is Heard:
        return len(item.frame)
    return len(item.image) if kind is Preview else 0
