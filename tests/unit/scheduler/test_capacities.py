"""When a server is given more, by what it holds."""

import pytest

from app.db.mapping import outline_of
from app.db.run_times import RunTime, RunTimes
from app.runner.eta import seen_in_row
from app.scheduler.capacities import capacities_of
from app.servers.health import Health
from app.servers.server import Server


def server_with(slots: int, *, own: bool = False) -> Server:
    server = Server("http://127.0.0.1:1", 2, max_slots=slots, own_slots=slots if own else None)
    server.health, server.swept = Health(True, None), True
    server.pace.sent(0.005)
    server.pace.ended(0.001, 0.005)
    return server


@pytest.mark.parametrize(
    ("slots", "own", "held", "extra"),
    [
        (2, False, 1, 0),
        (2, False, 2, None),
        (3, False, 2, 1),
        (3, False, 3, None),
        (8, False, 0, 6),
        (8, False, 4, 6),
        (8, False, 5, None),  # it is filled up again when half is gone
        (8, True, 7, 0),  # a number that was set is kept filled
        (8, True, 8, None),
    ],
)
def test_how_much_of_its_slots_is_filled(
    slots: int, own: bool, held: int, extra: int | None
) -> None:
    server = server_with(slots, own=own)
    times = RunTimes(database=None)  # type: ignore[arg-type]
    times.learn("s", server.id, RunTime(0.001, {}))
    there = [seen_in_row(outline_of({"task_id": str(n), "shape": "s", "status": "queued"}))
             for n in range(held)]  # fmt: skip
    found = capacities_of([server], lambda _: there, lambda _: there, times)
    (capacities,) = found.values() or [[]]
    assert [capacity.extra for capacity in capacities] == ([] if extra is None else [extra])


def test_enough_is_ready_for_now() -> None:
    server, times = server_with(8), RunTimes(database=None)  # type: ignore[arg-type]
    times.learn("s", server.id, RunTime(0.03, {}))
    there = [seen_in_row(outline_of({"task_id": str(n), "shape": "s", "status": "queued"}))
             for n in range(3)]  # fmt: skip
    assert capacities_of([server], lambda _: there, lambda _: there, times) == {}
    assert capacities_of([server], lambda _: there[:2], lambda _: there[:2], times) != {}
    first = [there[0]._replace(has_begun=True), *there[1:]]  # what runs is not ready to run
    assert capacities_of([server], lambda _: first, lambda _: first, times) != {}
