"""Messages to subscribers, and resuming after the last id."""

import asyncio
from dataclasses import replace

import pytest

from app.events.hub import Hub
from app.events.subscription import Closed, Interrupted, Update, made
from tests.hubs import BORN, ENDED, TASK, tell


# -- hub ----------------------------------------------------------------------------------------
async def test_a_subscriber_gets_what_it_wants() -> None:
    hub = Hub()
    with hub.subscribe(["a"]) as mine, hub.subscribe(previews=True) as all_:
        tell(hub, "a", "status", {"n": 1})
        tell(hub, "b", "status", {"n": 2})
        tell(hub, "a", "preview", {}, b"image")
        tell(hub, "a", "status", {"n": 3})
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
        tell(hub, "a", "status", {})
        waiting = asyncio.create_task(updates.get())
        await waiting
        hub.close()
        with pytest.raises(Closed):
            await updates.get()
    with hub.subscribe() as late, pytest.raises(Closed):
        await late.get()


def test_resuming() -> None:
    hub = Hub()
    tell(hub, "a", "status", {"n": 1})
    last = hub.last_id
    tell(hub, "a", "progress", {"n": 2})
    tell(hub, "b", "status", {"n": 3})
    tell(hub, "a", "preview", {"n": 4}, b"x")
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
        tell(hub, "a", "status", {"n": 1}, **ENDED)
        hub.event_bus = Nowhere()
        hub.suspend("Redis is away")
        tell(hub, "a", "status", {"n": 2}, **ENDED)
        assert (await updates.get()).data["n"] == 1, "what came before is still told"
        with pytest.raises(Interrupted):
            await updates.get()
        assert [(await waiting.get()).data["n"] for _ in range(2)] == [1, 2]
    with hub.subscribe() as late, pytest.raises(Interrupted):
        await late.get()
    hub.resume()
    with hub.subscribe() as updates:
        hub.deliver(Update(hub.last_id + 1, "a", "status", made({"n": 3})))
        assert (await updates.get()).data["n"] == 3
    assert hub.dropped == 0, "nobody was too slow"


# -- views are made for whoever looks -----------------------------------------------------------
def _counted(made: list[int]) -> dict[str, int]:
    made.append(1)
    return {"n": len(made)}


async def test_what_nobody_follows_is_rendered_for_whoever_resumes() -> None:
    hub, made = Hub(), list[int]()
    hub.publish(TASK, "status", lambda: _counted(made))
    hub.publish(TASK, "progress", lambda: _counted(made))
    assert not made
    for _ in range(2):
        assert [update.data["n"] for update in hub.since("a", 0)] == [1, 2], "once, for all"
    with hub.subscribe(["a"]) as one, hub.subscribe() as two:
        hub.publish(TASK, "progress", lambda: _counted(made))
        assert len(made) == 3, "as it is published: its estimates are of that moment"
        assert (await one.get()).json == (await two.get()).json == hub.since("a", 0)[-1].json


async def test_who_waits_for_an_end_hears_of_it_alone() -> None:
    hub, made = Hub(), list[int]()
    with hub.subscribe(["a"], lasts=True) as waiting:
        hub.publish(TASK, "status", lambda: _counted(made))
        hub.publish(TASK, "progress", lambda: _counted(made))
        hub.publish(replace(TASK, **ENDED), "status", lambda: _counted(made))
        assert [update.is_end for update in waiting.take(9)] == [True]
    assert not made


def test_what_is_not_rendered_counts_as_what_it_holds() -> None:
    hub = Hub()
    large = replace(TASK, metadata={"text": "x" * 10_000})
    for number in range(10):
        hub.publish(replace(large, task_id=str(number)), "status", dict)
    assert 100_000 < hub._kept_bytes < 200_000
    assert hub._kept_bytes == sum(u.size for kept in hub._recent.values() for u in kept)


def test_a_preview_of_another_replica_is_of_the_task_that_was_heard_of() -> None:
    hub = Hub()
    tell(hub, "a", "status", {})
    hub.deliver(Update(hub.last_id + 1, "a", "preview", made({}), b"image"))
    assert hub.last_preview("a", "another time") is None
    found = hub.last_preview("a", BORN)
    assert found is not None
    assert found.image == b"image"
    tell(hub, "a", "status", {}, **ENDED)
    assert hub.last_preview("a", BORN) is None, "it has ended"
