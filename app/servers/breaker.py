"""Takes a server out that fails every task in a row, and tries it again. Pure but for the clock.

A bad workflow fails everywhere, so it must not cost a server its place: failures count only of
workflow shapes that have succeeded before, and once for each shape that never has.
"""

import time
from collections.abc import Callable

FAILURES = 5  # in a row
FIRST_PAUSE, LAST_PAUSE = 30.0, 600.0  # seconds


class Breaker:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._unproven: set[str] = set()  # shapes of the failures that never succeeded
        self._pause = FIRST_PAUSE
        self._open_until: float | None = None

    @property
    def is_open(self) -> bool:
        """No work at all for now."""
        return self._open_until is not None and self._clock() < self._open_until

    @property
    def is_probing(self) -> bool:
        """The pause is over: one task at a time, and the next end decides."""
        return self._open_until is not None and not self.is_open

    @property
    def reason(self) -> str | None:
        if self._open_until is None:
            return None
        return f"{self._failures} tasks in a row failed here"

    def succeeded(self) -> None:
        self._failures = 0
        self._unproven.clear()
        self._pause = FIRST_PAUSE
        self._open_until = None

    def failed(self, shape: str, *, proven: bool) -> bool:
        """A task failed while it ran; True if the server is taken out by this.

        `proven`: the shape has succeeded before, here or elsewhere.
        """
        if not proven and not self.is_probing:
            if shape in self._unproven:
                return False
            self._unproven.add(shape)
        self._failures += 1
        if self.is_probing:
            self._pause = min(self._pause * 2, LAST_PAUSE)
        elif self._failures < FAILURES or self.is_open:
            return False
        self._open_until = self._clock() + self._pause
        return True
