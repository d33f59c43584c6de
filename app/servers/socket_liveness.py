"""Detects sockets that ComfyUI no longer sends events to.

ComfyUI forgets a client_id and its socket when another socket of the same id closes; the socket
that stays open gets no more events.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable

WORD_TIMEOUT = 1.0  # seconds until the status event for a change of the queue is overdue
RENEWAL_INTERVAL = 10.0  # minimum seconds between two renewals


class Ear:
    """Liveness of one socket.

    ComfyUI sends a status event to all sockets when its queue changes: a socket that gets none is
    deaf.
    """

    def __init__(self) -> None:
        self._heard = self._changed = self._renewed = float("-inf")
        self._scope: asyncio.Timeout | None = None

    def hears(self) -> None:
        """Note that an event arrived."""
        self._heard = time.monotonic()

    def queue_changed(self, since: float) -> None:
        """Note that the server's queue changed at some time after `since` (monotonic clock)."""
        self._changed = max(self._changed, since)

    @property
    def is_deaf(self) -> bool:
        return self._heard < self._changed < time.monotonic() - WORD_TIMEOUT

    async def listen(self, receive: Callable[[], Awaitable[None]]) -> None:
        """Run `receive` until cancelled, and start it again when the socket is renewed."""
        while True:
            try:
                async with asyncio.timeout(None) as scope:
                    self._scope = scope
                    await receive()
            except TimeoutError:
                if not scope.expired():
                    raise

    def renew(self) -> bool:
        """Replace the socket unless that was done recently; return whether it is replaced."""
        now = time.monotonic()
        if self._scope is None or self._scope.expired() or now - self._renewed < RENEWAL_INTERVAL:
            return False
        self._renewed = now
        self._scope.reschedule(asyncio.get_running_loop().time())
        return True
