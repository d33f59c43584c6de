"""Does the socket to a server still hear? ComfyUI forgets a client_id, socket and all, when another
socket that was opened under the same id closes; the one that stays open is told nothing more."""

import asyncio
import time
from collections.abc import Awaitable, Callable

WORD_TIMEOUT = 1.0  # seconds that word of a change in the queue may take
RENEWAL_INTERVAL = 10.0  # seconds at the least between two renewals


class Ear:
    """ComfyUI tells everybody when its queue changes: a socket that says nothing then is deaf."""

    def __init__(self) -> None:
        self._heard = self._changed = self._renewed = float("-inf")
        self._scope: asyncio.Timeout | None = None

    def hears(self) -> None:
        """Something came over the socket."""
        self._heard = time.monotonic()

    def queue_changed(self, since: float) -> None:
        """The server's queue has changed at some time after `since`, by the monotonic clock."""
        self._changed = max(self._changed, since)

    @property
    def is_deaf(self) -> bool:
        return self._heard < self._changed < time.monotonic() - WORD_TIMEOUT

    async def listen(self, receive: Callable[[], Awaitable[None]]) -> None:
        """Run `receive` until cancelled; from its start again when the socket is renewed."""
        while True:
            try:
                async with asyncio.timeout(None) as scope:
                    self._scope = scope
                    await receive()
            except TimeoutError:
                if not scope.expired():
                    raise

    def renew(self) -> bool:
        """Close the socket and open another one, unless that was just done; True if it is."""
        now = time.monotonic()
        if self._scope is None or self._scope.expired() or now - self._renewed < RENEWAL_INTERVAL:
            return False
        self._renewed = now
        self._scope.reschedule(asyncio.get_running_loop().time())
        return True
