"""Messages to subscribers, and resuming after the last id."""

import asyncio

import pytest

from app.events.hub import Hub
from app.events.subscription import Closed, Interrupted, Update


# -- hub ----------------------------------------------------------------------------------------
async def test_a_subscriber_gets_what_it_wants() -> None:
    hub = Hub()
    with hub.subscribe(["a"]) as mine, hub.subscribe(previews=True) as all_:
        hub.publish("a", "status", {"n": 1})
        hub.publish("b", "status", {"n": 2})
        hub.publish("a", "preview", {}, b"image")
        hub.publish("a", "status", {"n": 3})
        assert [(await mine.get()).data["n"] for _ in range(2)] == [1, 3]
        assert [(await all_.get()).type for _ in range(4)] == [
            "status",
            "status",
            "preview",
            "status",
        ]
    assert hub.subscribers == 0


async def test_closing_ends_all_streams_after_what_waits() -> None:
    hub = Hub()
    with hub.subscribe() as updates:
        hub.publish("a", "status", {})
        waiting = asyncio.create_task(updates.get())
        await waiting
        hub.close()
        with pytest.raises(Closed):
            await updates.get()
    with hub.subscribe() as late, pytest.raises(Closed):
        await late.get()


def test_resuming() -> None:
    hub = Hub()
    hub.publish("a", "status", {"n": 1})
    last = hub.last_id
    hub.publish("a", "progress", {"n": 2})
    hub.publish("b", "status", {"n": 3})
    hub.publish("a", "preview", {"n": 4}, b"x")
    assert [update.data["n"] for update in hub.since("a", last)] == [2]
    assert [update.data["n"] for update in hub.since("a", 0)] == [1, 2]
    assert hub.since("unknown", 0) == []
    ids = [update.id for update in hub.since("a", 0)]
    assert ids == sorted(ids)
    assert ids[-1] < 2**53, "exact in JavaScript"


# -- updates of other replicas do not come ------------------------------------------------------
class Nowhere:
    """An event bus that brings nothing back."""

    def send(self, *_: object) -> None:
        pass

    async def run(self) -> None:
        pass

    async def flush(self) -> None:
        pass


async def test_streams_end_while_updates_do_not_come() -> None:
    hub = Hub()
    with hub.subscribe() as updates, hub.subscribe(["a"], lasts=True) as waiting:
        hub.publish("a", "status", {"n": 1})
        hub.event_bus = Nowhere()
        hub.suspend("Redis is away")
        hub.publish("a", "status", {"n": 2})
        assert (await updates.get()).data["n"] == 1, "what came before is still told"
        with pytest.raises(Interrupted):
            await updates.get()
        assert [(await waiting.get()).data["n"] for _ in range(2)] == [1, 2]
    with hub.subscribe() as late, pytest.raises(Interrupted):
        await late.get()
    hub.resume()
    with hub.subscribe() as updates:
        hub.deliver(Update(hub.last_id + 1, "a", "status", {"n": 3}))
        assert (await updates.get()).data["n"] == 3
    assert hub.dropped == 0, "nobody was too slow"
