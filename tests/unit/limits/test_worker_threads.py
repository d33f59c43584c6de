"""Threads are shared out among callers."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable

import pytest

from app.limits.worker_threads import CallerSlots, MemoryBudget, Workers, working_for
from tests.conftest import wait_until


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(threads=4, per_caller=2)
    yield made
    made.close()


class Heavy:
    """Work that goes on until it is told to end; counts how much of it runs at once."""

    def __init__(self) -> None:
        self.end = threading.Event()
        self.running = 0

    def __call__(self) -> None:
        self.running += 1
        self.end.wait(20)


async def test_one_callers_work_leaves_room_for_anothers(workers: Workers) -> None:
    heavy = Heavy()
    with working_for("hog"):
        hog = [asyncio.create_task(workers.run(heavy)) for _ in range(50)]
    await wait_until(lambda: heavy.running == 2)
    with working_for("other"):
        assert await asyncio.wait_for(workers.run(lambda: 7), 5) == 7
    assert heavy.running == 2
    heavy.end.set()
    await asyncio.gather(*hog)
    assert heavy.running == 50
    await wait_until(lambda: not workers._slots._callers)


async def test_work_that_nobody_waits_for_keeps_its_place_to_its_end(workers: Workers) -> None:
    heavy = Heavy()
    hog = [asyncio.create_task(workers.run(heavy)) for _ in range(4)]
    await wait_until(lambda: heavy.running == 2)
    for task in hog:
        task.cancel()
    await asyncio.wait(hog)
    late = asyncio.create_task(workers.run(lambda: 7))
    await asyncio.sleep(0)
    assert not late.done()
    heavy.end.set()
    assert await late == 7
    assert heavy.running == 2  # those that only waited never began
    await wait_until(lambda: not workers._slots._callers)


async def test_it_answers_and_raises_what_the_work_does(workers: Workers) -> None:
    assert await workers.run(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await workers.run(divmod, 7, 0)


async def taken(
    room: MemoryBudget, caller: str, size: int, seconds: float = 5
) -> Callable[[], None]:
    with working_for(caller):
        return await room.take(size, seconds)


async def test_room_is_shared_out_among_callers() -> None:
    room = MemoryBudget(100, 40)
    free = await taken(room, "hog", 30)
    late = asyncio.create_task(taken(room, "hog", 30))
    small = asyncio.create_task(taken(room, "hog", 1))
    await asyncio.sleep(0)
    assert not late.done()
    assert not small.done(), "it came later, and is of the same caller"
    others = [await taken(room, name, 30) for name in ("one", "two")]
    assert not late.done()
    free()
    free()  # a second time is nothing
    giving = [await late, await small]
    assert (room._free, room._taken["hog"]) == (100 - 60 - 31, 31)
    for give_back in (*giving, *others):
        give_back()
    assert (room._free, room._taken, room._waiting) == (100, {}, [])


async def test_who_waits_for_room_in_vain_leaves_no_trace() -> None:
    room = MemoryBudget(100, 40)
    free = await taken(room, "hog", 4000)  # as much as it may have
    with pytest.raises(TimeoutError):
        await taken(room, "hog", 10, seconds=0.01)
    waiting = asyncio.create_task(taken(room, "hog", 10))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    free()
    assert (room._free, room._taken, room._waiting) == (100, {}, [])


async def test_the_gateway_itself_waits_for_no_place_of_callers() -> None:
    places = CallerSlots(1, free=True)
    with working_for("hog"):
        give_back = await places.take()
        late = asyncio.create_task(places.take())
    taken = [await places.take() for _ in range(5)]
    assert not late.done()
    give_back()
    taken.append(await late)
    for other in taken:
        other()
    assert not places._callers
