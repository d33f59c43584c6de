"""Rate limits by token buckets, with an interface that replicas can share.

Not based on the library `limits` (5.8), which has windows only: there a key that has used up
60/minute waits until its oldest request is a minute old, here for a second. Its moving window keeps
a timestamp per request, has no limit on keys in memory, and uses the clock of each replica instead
of Redis's.
"""

import math
import time
from dataclasses import dataclass
from typing import Protocol

from app.auth.model import Rate
from app.limits.lru_cache import BoundedCache

MAX_BUCKETS = 10_000  # one per key


@dataclass(frozen=True, slots=True)
class Allowance:
    """The result of counting a request.

    `remaining`: further requests possible now; `retry_after`: seconds until the next one is
    possible; `reset`: seconds until all are.
    """

    allowed: bool
    limit: int
    remaining: int
    retry_after: int
    reset: int


class RateLimits(Protocol):
    async def take(self, name: str, rate: Rate) -> Allowance:
        """Count one request of the key `name`."""
        ...


class LocalRates:
    """Counters of this process."""

    def __init__(self) -> None:
        # By name: (tokens, time). A key that is dropped from the cache would have a full bucket
        # anyway.
        self._buckets: BoundedCache[str, tuple[float, float]] = BoundedCache(MAX_BUCKETS)

    async def take(self, name: str, rate: Rate) -> Allowance:
        now = time.monotonic()
        tokens, then = self._buckets.get(name) or (float(rate.requests), now)
        allowance, left = take(rate, tokens, now - then)
        self._buckets.put(name, (left, now))
        return allowance


def take(rate: Rate, tokens: float, elapsed: float) -> tuple[Allowance, float]:
    """Take a token from a bucket that had `tokens` `elapsed` seconds ago; return the rest. Pure."""
    pace = rate.requests / rate.seconds
    tokens = min(rate.requests, tokens + elapsed * pace)
    allowed = tokens >= 1
    left = tokens - 1 if allowed else tokens
    allowance = Allowance(
        allowed=allowed,
        limit=rate.requests,
        remaining=int(left),
        retry_after=0 if allowed else max(math.ceil((1 - left) / pace), 1),
        reset=math.ceil((rate.requests - left) / pace),
    )
    return allowance, left
