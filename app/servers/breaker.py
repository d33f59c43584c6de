"""Takes a server out that fails every task in a row, and tries it again. Pure but for the clock.

A bad workflow fails everywhere, so it must not cost a server its place: failures count only of
workflow shapes that have succeeded before, and once for each shape that never has. Nor may one API
key take a server from the others: a key whose tasks fail in a row is kept away by itself, and
everybody only when those of several keys fail. Without keys all tasks are of one owner.

There are two of a server: one of runs, and one of handing over (its door), with short pauses. What
only the server can be blamed for shuts the door at once; what may be for the prompt's sake counts.
"""

import time
from collections.abc import Callable

FAILURES = 5  # in a row
SHARE = 3  # of them that one API key can stand for, where the server is taken from everybody
FIRST_PAUSE, LAST_PAUSE = 30.0, 600.0  # seconds
DOOR_PAUSES = (1.0, 15.0)  # the same of a server that does not take prompts


class _Pause:
    """Closed, then on trial until a success; each failure on trial doubles the time."""

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
    """The failures in a row of one API key's tasks."""

    def __init__(self, pause: _Pause) -> None:
        self.failures = 0
        self.unproven: set[str] = set()  # shapes of the failures that never succeeded
        self.pause = pause

    def counts(self, shape: str, *, proven: bool) -> bool:
        if proven:
            return True
        new = shape not in self.unproven and len(self.unproven) < FAILURES
        if new:
            self.unproven.add(shape)
        return new


class Breaker:
    """`pauses`: the first and the longest one, in seconds."""

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
        """No work at all for now."""
        return self._pause.is_on

    @property
    def is_probing(self) -> bool:
        """The pause is over: one task at a time, and the next end decides."""
        return self._pause.is_over

    @property
    def is_failing(self) -> bool:
        return self.is_open or self.is_probing

    @property
    def left(self) -> float:
        """Seconds until somebody is on trial."""
        return self._pause.left

    @property
    def barred(self) -> frozenset[str]:
        """The API keys that get no place here for now, while others do."""
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
        """Whether a failure of this key's task says nothing of the task."""
        owner = self._owners.get(key)
        return self.is_probing or (owner is not None and owner.pause.is_over)

    def succeeded(self) -> None:
        """The server works, whoever's the task was."""
        self._why: str | None = None  # in the words of the last failure, if it had some
        self._owners: dict[str | None, _Owner] = {}
        self._tried: set[str | None] = set()  # those whose tasks failed on this trial
        self._pause = self._new_pause()

    def _new_pause(self) -> _Pause:
        return _Pause(self._clock, *(self._pauses or (FIRST_PAUSE, LAST_PAUSE)))

    def shut(self, why: str, least: float = 0.0) -> None:
        """No work of anybody, for `least` seconds and longer each time, and why."""
        self._why = why
        self._tried.clear()
        if least or not self.is_open:
            self._pause.begin(least)

    def failed(
        self, shape: str, *, proven: bool, key: str | None = None, why: str | None = None
    ) -> bool:
        """A task failed while it ran; True if the server is taken out by this, or closed to `key`.

        `proven`: the shape has succeeded before, here or elsewhere. `key`: whose the task is; None
        without API keys. `why`: for people.
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
        """On trial: if two keys have failed. Before: if no key stands for more than its share."""
        if self.is_probing:
            self._tried.add(key)
            return key is None or len(self._tried) > 1
        counted = (
            owner.failures if name is None else min(owner.failures, SHARE)
            for name, owner in self._owners.items()
        )
        return sum(counted) >= FAILURES
