"""What waits for a subscriber is bounded."""

import pytest

from app.events.hub import Hub
from app.events.subscription import QUEUE_LIMIT, Overrun


async def test_only_the_newest_progress_waits() -> None:
    hub = Hub()
    with hub.subscribe() as updates:
        hub.publish("a", "status", {"s": "running"})
        for value in range(100):
            hub.publish("a", "progress", {"v": value})
            hub.publish("b", "progress", {"v": value})
        hub.publish("a", "status", {"s": "succeeded"})
        seen = [(await updates.get()).data for _ in range(4)]
    assert seen == [{"s": "running"}, {"v": 99}, {"v": 99}, {"s": "succeeded"}]


async def test_a_subscriber_that_does_not_read_is_let_go() -> None:
    hub = Hub()
    with hub.subscribe() as slow, hub.subscribe() as fast:
        for number in range(QUEUE_LIMIT + 1):
            hub.publish("a", "status", {"n": number})
            assert (await fast.get()).data["n"] == number
        with pytest.raises(Overrun):
            await slow.get()


async def test_previews_make_room_first() -> None:
    hub = Hub()
    with hub.subscribe(previews=True) as updates:
        hub.publish("a", "preview", {}, b"image")
        for number in range(QUEUE_LIMIT):
            hub.publish("a", "status", {"n": number})
        assert (await updates.get()).data == {"n": 0}
