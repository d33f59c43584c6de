"""Circuit breaker of a server that fails consecutive tasks. Pure except for the clock.

A faulty workflow fails on every server, so failures count only for workflow shapes that succeeded
before, and once for each shape that never did. One API key cannot take a server from the others: a
key whose tasks fail in a row is barred by itself, and the server is closed to all keys only when
tasks of several keys fail. Without API keys all tasks have the same owner.

Each server has two breakers: one for runs, and one for the submission of prompts (its door), with
short pauses. Errors that only the server can cause shut the door at once; errors that the prompt
may cause are counted.
"""

import time
from collections.abc import Callable

FAILURES = 5  # consecutive failures that open the breaker
SHARE = 3  # failures of one API key that count towards opening the breaker for all keys
FIRST_PAUSE, LAST_PAUSE = 30.0, 600.0  # seconds
DOOR_PAUSES = (1.0, 15.0)  # first and last pause of the breaker for submissions, in seconds


class _Pause:
    """A pause followed by a trial that lasts until a success.

    A failure on trial doubles the next pause.
    """

    def __init__(self, clock: Callable[[], float], first: float, last: float) -> None:
        self._clock = clock
        self._seconds, self._last = first, last
        self._until: float | None = None

    @property
    def is_on(self) -> bool:
        return self._until is not None and self._clock() < self._until

    @property
    def is_over(self) -> bool:
        return self._until is not None and not self.is_on

    @property
    def left(self) -> float:
        return max((self._until or 0.0) - self._clock(), 0.0)

    def begin(self, least: float = 0.0) -> None:
        if self.is_over:
            self._seconds = min(self._seconds * 2, self._last)
        self._until = self._clock() + max(self._seconds, least, self.left)


class _Owner:
    """The consecutive failures of one API key's tasks."""

    def __init__(self, pause: _Pause) -> None:
        self.failures = 0
        self.unproven: set[str] = set()  # failed shapes that never succeeded
        self.pause = pause

    def counts(self, shape: str, *, proven: bool) -> bool:
        if proven:
            return True
        new = shape not in self.unproven and len(self.unproven) < FAILURES
        if new:
            self.unproven.add(shape)
        return new


class Breaker:
    """`pauses`: the first and the longest pause in seconds."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        pauses: tuple[float, float] | None = None,
    ) -> None:
        self._clock = clock
        self._pauses = pauses
        self.succeeded()

    @property
    def is_open(self) -> bool:
        """Whether the server gets no tasks for now."""
        return self._pause.is_on

    @property
    def is_probing(self) -> bool:
        """Whether the pause is over: one task at a time, whose outcome closes or reopens the
        breaker."""
        return self._pause.is_over

    @property
    def is_failing(self) -> bool:
        return self.is_open or self.is_probing

    @property
    def left(self) -> float:
        """Seconds until the pause ends."""
        return self._pause.left

    @property
    def barred(self) -> frozenset[str]:
        """The API keys that are barred while other keys are served."""
        return frozenset(name for name, owner in self._owners.items() if name and owner.pause.is_on)

    @property
    def reason(self) -> str | None:
        if self.is_failing and self._why:
            return self._why
        if self.is_failing:
            failures = sum(owner.failures for owner in self._owners.values())
            return f"{failures} tasks in a row failed here"
        return (
            "all tasks of an API key failed here: it has no place for now" if self.barred else None
        )

    def on_trial(self, key: str | None) -> bool:
        """Return whether the server is on trial for this key, so that a failure may not be the
        task's."""
        owner = self._owners.get(key)
        return self.is_probing or (owner is not None and owner.pause.is_over)

    def succeeded(self) -> None:
        """Reset the breaker: a task of any key succeeded."""
        self._why: str | None = None  # the message of the last failure, if it has one
        self._owners: dict[str | None, _Owner] = {}
        self._tried: set[str | None] = set()  # keys whose tasks failed in this trial
        self._pause = self._new_pause()

    def _new_pause(self) -> _Pause:
        return _Pause(self._clock, *(self._pauses or (FIRST_PAUSE, LAST_PAUSE)))

    def shut(self, why: str, least: float = 0.0) -> None:
        """Open the breaker for all keys for at least `least` seconds, longer each time."""
        self._why = why
        self._tried.clear()
        if least or not self.is_open:
            self._pause.begin(least)

    def failed(
        self, shape: str, *, proven: bool, key: str | None = None, why: str | None = None
    ) -> bool:
        """Record a failed task; return whether this opens the breaker or bars `key`.

        `proven`: the shape succeeded before, on any server. `key`: the API key of the task; None
        without API keys. `why`: message for people.
        """
        self._why = why or self._why
        if key not in self._owners:
            self._owners[key] = _Owner(self._new_pause())
        owner = self._owners[key]
        if not self.on_trial(key) and not owner.counts(shape, proven=proven):
            return False
        owner.failures += 1
        if self.is_open or owner.pause.is_on:
            return False
        everybody = self._speaks_for_all(key)
        if everybody:
            self._tried.clear()
            self._pause.begin()
        elif self.is_probing or owner.failures >= FAILURES:
            owner.pause.begin()
        else:
            return False
        return True

    def _speaks_for_all(self, key: str | None) -> bool:
        """Return whether the failures count for all keys.

        On trial two keys must have failed; otherwise each key counts with at most SHARE failures.
        """
        if self.is_probing:
            self._tried.add(key)
            return key is None or len(self._tried) > 1
        counted = (
            owner.failures if name is None else min(owner.failures, SHARE)
            for name, owner in self._owners.items()
        )
        return sum(counted) >= FAILURES
