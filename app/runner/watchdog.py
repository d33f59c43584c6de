"""Is a running prompt alive? Told by the time since its last sign."""

import time


class Watchdog:
    """`limit`: seconds of silence after which a prompt counts as stuck."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._last = time.monotonic()

    def reset(self) -> float:
        """There was a sign, now; answers when that is, in seconds of a monotonic clock."""
        self._last = time.monotonic()
        return self._last

    def stalled_for(self) -> float | None:
        """Seconds since the last sign, if that is too long ago."""
        stalled_for = time.monotonic() - self._last
        return stalled_for if stalled_for > self._limit else None
