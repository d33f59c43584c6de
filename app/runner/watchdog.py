"""Detects prompts that run without sending events."""

import time


class Watchdog:
    """Measures the time since the last event; over `limit` seconds count as stalled."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._last = time.monotonic()

    def reset(self) -> float:
        """Record an event; return the current time in seconds of the monotonic clock."""
        self._last = time.monotonic()
        return self._last

    def stalled_for(self) -> float | None:
        """Return the seconds since the last event if they exceed the limit, else None."""
        stalled_for = time.monotonic() - self._last
        return stalled_for if stalled_for > self._limit else None
