"""Rate limits: token buckets. Behind an interface, so that replicas can share them.

Written out because the library `limits` (5.8) has windows only, and no token bucket: there a key
that has used up 60/minute waits until its oldest request is a minute old, here a second. Its moving
window keeps a timestamp for each request, without a bound on keys in memory, and goes by the clock
of each replica instead of by that of Redis.
"""

import math
import time
from dataclasses import dataclass
from typing import Protocol

from app.auth.model import Rate
from app.limits.lru_cache import BoundedCache

MAX_BUCKETS = 10_000  # buckets, one a key


@dataclass(frozen=True, slots=True)
class Allowance:
    """What came of a request: may it be done, how many more may follow at once, and in how many
    seconds there will be another one, or all of them."""

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
    """The counters of this process."""

    def __init__(self) -> None:
        # By name: tokens, as of when. Whoever asks that seldom has a full one anyway.
        self._buckets: BoundedCache[str, tuple[float, float]] = BoundedCache(MAX_BUCKETS)

    async def take(self, name: str, rate: Rate) -> Allowance:
        now = time.monotonic()
        tokens, then = self._buckets.get(name) or (float(rate.requests), now)
        allowance, left = take(rate, tokens, now - then)
        self._buckets.put(name, (left, now))
        return allowance


def take(rate: Rate, tokens: float, elapsed: float) -> tuple[Allowance, float]:
    """A token out of the bucket, `elapsed` seconds after there were so many in it; answers also
    how many are left. Pure."""
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
