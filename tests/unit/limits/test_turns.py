"""No more pieces of work begin in a turn of the event loop than may, first come first served."""

import asyncio
from collections import Counter

import pytest

from app.limits.turns import Turns
from tests.turns import Clock


async def worker(turns: Turns, clock: Clock, begun: list[tuple[int, int]], number: int) -> None:
    await turns.take()
    begun.append((clock.turn, number))


async def test_pieces_begin_in_order_and_no_more_than_may_in_one_turn() -> None:
    turns, begun = Turns(2), list[tuple[int, int]]()
    with Clock() as clock:
        await asyncio.gather(*(worker(turns, clock, begun, number) for number in range(20)))
    assert [number for _, number in begun] == list(range(20))
    assert max(Counter(turn for turn, _ in begun).values()) <= 2
    assert begun[-1][0] >= 9


async def test_who_comes_again_waits_behind_who_came_before() -> None:
    turns, order = Turns(1), list[str]()

    async def work(name: str, pieces: int) -> None:
        for _ in range(pieces):
            await turns.take()
            order.append(name)

    await work("alone", 1)
    await asyncio.gather(work("greedy", 3), work("a", 1), work("b", 1))
    assert order == ["alone", "greedy", "greedy", "a", "b", "greedy"]


async def test_who_leaves_while_waiting_gives_its_place_up() -> None:
    turns, begun = Turns(1), list[tuple[int, int]]()
    with Clock() as clock:
        waiting = [asyncio.create_task(worker(turns, clock, begun, n)) for n in range(10)]
        await asyncio.sleep(0)
        for gone in waiting[2:9]:
            gone.cancel()
        await asyncio.wait(waiting)
    assert [number for _, number in begun] == [0, 1, 9]
    assert begun[-1][0] <= begun[0][0] + 4
    assert not turns._waiting


async def test_it_does_nothing_while_nobody_wants_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, looked = Turns(1), list[int]()
    look = turns._next

    def counted(loop: asyncio.AbstractEventLoop) -> None:
        looked.append(1)
        look(loop)

    monkeypatch.setattr(turns, "_next", counted)
    await asyncio.gather(*(turns.take() for _ in range(5)))
    for _ in range(3):
        await asyncio.sleep(0)
    before = len(looked)
    assert before >= 5
    for _ in range(5):
        await asyncio.sleep(0)
    assert len(looked) == before
