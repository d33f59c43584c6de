"""The next step of a delivery after an attempt. Pure except for randomness."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.outbound.post import Answer

# Seconds between attempts; more than a day in total.
SCHEDULE = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 10800.0, 21600.0, 43200.0)
JITTER = 0.2  # up to this fraction is added, so that retries are spread
LONGEST_WAIT = 86400.0  # limit for a receiver's Retry-After
GONE = 410


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class RetryStep:
    """`wait`: seconds until the next attempt while PENDING."""

    status: DeliveryStatus
    wait: float | None = None


def is_success(answer: Answer) -> bool:
    return answer.status is not None and 200 <= answer.status < 300


def next_step(
    answer: Answer,
    tries: int,
    schedule: Sequence[float] = SCHEDULE,
    chance: Callable[[], float] = random.random,
) -> RetryStep:
    """Return the next step; `tries` counts the attempts including the one with this answer."""
    if is_success(answer):
        return RetryStep(DeliveryStatus.DELIVERED)
    if answer.status == GONE or tries > len(schedule):
        return RetryStep(DeliveryStatus.DEAD)
    wait = schedule[tries - 1] * (1 + JITTER * chance())
    asked = min(answer.retry_after or 0.0, LONGEST_WAIT)
    return RetryStep(DeliveryStatus.PENDING, max(wait, asked))
