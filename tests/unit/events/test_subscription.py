"""What waits for a subscriber is bounded."""

import pytest

from app.events.hub import Hub
from app.events.subscription import QUEUE_LIMIT, Overrun
from tests.hubs import tell


async def test_only_the_newest_progress_waits() -> None:
    hub = Hub()
    with hub.subscribe() as updates:
        tell(hub, "a", "status", {"s": "running"})
        for value in range(100):
            tell(hub, "a", "progress", {"v": value})
            tell(hub, "b", "progress", {"v": value})
        tell(hub, "a", "status", {"s": "succeeded"})
        seen = [(await updates.get()).data for _ in range(4)]
    assert seen == [{"s": "running"}, {"v": 99}, {"v": 99}, {"s": "succeeded"}]


async def test_a_subscriber_that_does_not_read_is_let_go() -> None:
    hub = Hub()
    with hub.subscribe() as slow, hub.subscribe() as fast:
        for number in range(QUEUE_LIMIT + 1):
            tell(hub, "a", "status", {"n": number})
            assert (await fast.get()).data["n"] == number
        with pytest.raises(Overrun):
            await slow.get()


async def test_previews_make_room_first() -> None:
    hub = Hub()
    with hub.subscribe(previews=True) as updates:
        tell(hub, "a", "preview", {}, b"image")
        for number in range(QUEUE_LIMIT):
            tell(hub, "a", "status", {"n": number})
        assert (await updates.get()).data == {"n": 0}


async def test_what_can_be_sent_at_once_does_not_wait() -> None:
    hub, sent, reads = Hub(), list[int](), True
    with hub.subscribe() as updates:

        def send() -> None:
            while reads and updates.peek():
                sent.append(updates.take(1)[0].data["n"])

        updates.send = send
        tell(hub, "a", "status", {"n": 1})
        assert sent == [1]
        reads = False
        tell(hub, "a", "status", {"n": 2})
        tell(hub, "a", "status", {"n": 3})
        assert (await updates.first()).data == {"n": 2}, "it stays where it is"
        reads = True
        tell(hub, "a", "status", {"n": 4})
    assert sent == [1, 2, 3, 4], "nothing overtakes what waits"
