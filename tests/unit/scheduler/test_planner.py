"""Which waiting task goes to which server."""

from typing import NamedTuple

import pytest

from app.scheduler.planner import ServerCapacity, plan
from app.tasks.model import Assignment, WaitingTask
from app.workflows.requirements import ModelFile, Needs


class QueuePosition:
    """A server that has all but some classes."""

    def __init__(self, id: str, *without: str) -> None:
        self.id = id
        self._without = without

    def can_run(self, needs: Needs) -> bool:
        return not needs.classes & set(self._without)


def capacity(
    name: str, *without: str, free: int = 1, wait: float = 0, warm: str = ""
) -> ServerCapacity:
    return ServerCapacity(
        QueuePosition(name, *without), free, wait, frozenset(filter(None, [warm]))
    )


def task(seq: int, *, model: str = "", kind: str = "A", priority: int = 0, waited: float = 0,
         wanted: str | None = None) -> WaitingTask:  # fmt: skip
    files = frozenset([ModelFile("Loader", "name", model)] if model else [])
    return WaitingTask(seq, "r", Needs(frozenset([kind]), files), wanted, "s", priority, waited)


class Known(NamedTuple):
    took: float
    is_proven: bool = True

    def seconds(self, shape: str, server: str) -> float:
        return self.took

    def proven(self, shape: str) -> bool:
        return self.is_proven


def planned(
    tasks: list[WaitingTask], *capacities: ServerCapacity, seconds: float = 5
) -> list[Assignment]:
    return plan(tasks, capacities, Known(seconds))


# -- the plan -----------------------------------------------------------------------------------
def test_the_shortest_wait_wins() -> None:
    assert planned([task(1)], capacity("a", wait=9), capacity("b", wait=3)) == [(1, "b")]


def test_tasks_spread_over_idle_servers_before_they_queue_up() -> None:
    found = planned([task(n) for n in range(4)], capacity("a", free=2), capacity("b", free=2))
    assert [server for _, server in found] == ["a", "b", "a", "b"]


def test_only_servers_that_have_all_it_needs() -> None:
    assert planned([task(1)], capacity("a", "A"), capacity("b", "A")) == []
    assert planned([task(1)], capacity("a", "A"), capacity("b", wait=99)) == [(1, "b")]


def test_a_wanted_server_is_waited_for() -> None:
    assert planned([task(1, wanted="c")], capacity("a"), capacity("b")) == []
    assert planned([task(1, wanted="b")], capacity("a"), capacity("b", wait=99)) == [(1, "b")]


def test_a_warm_server_is_worth_a_wait_as_long_as_loading() -> None:
    """Which takes 10 seconds, until more is known."""
    for wait, chosen in ((9, "warm"), (11, "cold")):
        capacities = capacity("cold"), capacity("warm", wait=wait, warm="m")
        assert planned([task(1, model="m")], *capacities) == [(1, chosen)]


def test_models_are_loaded_where_none_are_lost() -> None:
    assert planned([task(1, model="m")], capacity("a", warm="x"), capacity("b")) == [(1, "b")]


def test_models_are_not_swapped_in_turns() -> None:
    tasks = [task(1, model="y"), task(2, model="x"), task(3, model="y"), task(4, model="x")]
    assert planned(tasks, capacity("a", free=2, warm="x")) == [(2, "a"), (4, "a")]
    tasks[0] = task(1, model="y", waited=29)
    assert planned(tasks, capacity("a", warm="x")) == [(2, "a")], "for half a minute"
    tasks[0] = task(1, model="y", waited=31)
    assert planned(tasks, capacity("a", warm="x")) == [(1, "a")], "but not for ever"


def test_less_important_tasks_do_not_overtake_for_the_sake_of_models() -> None:
    tasks = [task(1, model="y", priority=5), task(2, model="x")]
    assert planned(tasks, capacity("a", warm="x")) == [(1, "a")]


def test_a_free_server_is_used_even_if_it_must_load() -> None:
    tasks = [task(1, model="y"), task(2, model="x")]
    found = planned(tasks, capacity("a", warm="x"), capacity("b", warm="z"))
    assert sorted(found) == [(1, "b"), (2, "a")]


# -- extra slots, for short tasks ---------------------------------------------------------------
@pytest.mark.parametrize(
    ("times", "free", "ready", "model", "given"),
    [
        (Known(0.05), 4, 0.0, "", 3),  # 2 usual ones; the third finds 0.10 of 0.12 seconds ready
        (Known(0.05), 2, 0.05, "", 2),  # 2 extra ones
        (Known(0.05), 2, 0.11, "", 1),  # of which one is enough
        (Known(0.05), 2, 0.12, "", 0),  # enough is ready
        (Known(0.05), 0, 0.0, "", 0),  # no slot is free
        (Known(0.12), 4, 0.0, "", 2),  # long: only the usual ones
        (Known(30), 4, 0.0, "", 2),
        (Known(30), 2, 0.0, "", 0),
        (Known(0.05, is_proven=False), 4, 0.0, "", 2),  # nobody knows that it is short
        (Known(0.05, is_proven=False), 2, 0.0, "", 0),
        (Known(0.05), 4, 0.0, "m", 2),  # it has to load a model first
    ],
)
def test_extra_slots_are_for_short_tasks_while_too_little_is_ready(
    times: Known, free: int, ready: float, model: str, given: int
) -> None:
    server = capacity("a", free=free)
    server.extra, server.ready, server.ready_wanted = 2, ready, 0.12
    tasks = [task(seq, model=model and f"{model}{seq}") for seq in range(5)]
    assert len(plan(tasks, [server], times)) == given


def test_a_short_task_goes_where_a_usual_slot_is_free() -> None:
    busy, idle = capacity("a", wait=0.1), capacity("b", wait=9)
    busy.extra, busy.ready_wanted = 1, 0.01
    assert plan([task(1)], [busy, idle], Known(0.05)) == [(1, "b")]
