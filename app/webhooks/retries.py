"""What becomes of a delivery after a try. Pure but for chance."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from app.outbound.post import Answer

# Seconds from one try to the next: over a day in all.
SCHEDULE = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 10800.0, 21600.0, 43200.0)
JITTER = 0.2  # up to so much is added, that not all come back at once
LONGEST_WAIT = 86400.0  # of what a receiver may ask for with Retry-After
GONE = 410


class DeliveryStatus(StrEnum):
    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class RetryStep:
    """`wait`: seconds until the next try, for what is still PENDING."""

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
    """`tries` were made, the one with this answer included."""
    if is_success(answer):
        return RetryStep(DeliveryStatus.DELIVERED)
    if answer.status == GONE or tries > len(schedule):
        return RetryStep(DeliveryStatus.DEAD)
    wait = schedule[tries - 1] * (1 + JITTER * chance())
    asked = min(answer.retry_after or 0.0, LONGEST_WAIT)
    return RetryStep(DeliveryStatus.PENDING, max(wait, asked))
