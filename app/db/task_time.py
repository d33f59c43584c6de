"""The time at which a task joins the queue, which is what orders it."""

import threading
import time

STEP = 1e-6  # seconds between two times
SET_BACK = 1.0  # seconds; a clock that is set back by more is followed


class RisingClock:
    """Seconds since 1970, as of `time.time`, but later with each call. Thread-safe.

    Clocks of Windows stand still for 1/64 s before Python 3.13, and any may be set back a little.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0.0

    def __call__(self) -> float:
        with self._lock:
            now = time.time()
            if self._last - SET_BACK < now <= self._last:
                now = self._last + STEP
            self._last = now
            return now


task_time = RisingClock()  # of this process
