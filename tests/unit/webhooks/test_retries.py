"""When a delivery is tried again."""

import pytest

from app.outbound.post import Answer
from app.webhooks.retries import SCHEDULE, DeliveryStatus, next_step


def test_tries_go_on_for_more_than_a_day_and_end() -> None:
    waits = []
    for tries in range(1, len(SCHEDULE) + 1):
        step = next_step(Answer(500), tries, chance=lambda: 0.5)
        assert step.status is DeliveryStatus.PENDING
        waits.append(step.wait or 0)
    assert waits == [pytest.approx(seconds * 1.1) for seconds in SCHEDULE]
    assert 20 * 3600 < sum(SCHEDULE) < 30 * 3600
    assert next_step(Answer(500), len(SCHEDULE) + 1).status is DeliveryStatus.DEAD


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_success(status: int) -> None:
    assert next_step(Answer(status), 1).status is DeliveryStatus.DELIVERED


@pytest.mark.parametrize("status", [None, 301, 302, 307, 400, 401, 404, 429, 500, 503])
def test_everything_else_is_tried_again(status: int | None) -> None:
    assert next_step(Answer(status), 1).status is DeliveryStatus.PENDING


def test_gone_is_the_end_and_retry_after_is_honoured() -> None:
    assert next_step(Answer(410), 1).status is DeliveryStatus.DEAD
    assert next_step(Answer(429, retry_after=900), 1).wait == 900
    assert (next_step(Answer(429, retry_after=1), 1).wait or 0) >= 5
    assert next_step(Answer(503, retry_after=1e9), 1).wait == 86400
