"""How long a task should still take, as it waits and runs."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from app.comfyui.events import Executed, Executing
from app.comfyui.events import Progress as Step
from app.db.engine.database import Database
from app.db.queue import Queue
from app.db.requirements import Requirements
from app.db.run_times import RunTime, RunTimes
from app.runner import eta
from app.runner.eta import Seen, remaining, seen_in_row, wait_of
from app.runner.expectation import wait_on
from app.runner.progress import Tracker
from app.scheduler.dispatcher import Dispatcher
from app.scheduler.presenter import TaskPresenter
from app.servers.pool import Pool
from app.servers.server import Health, Server
from app.tasks.model import Progress, QueuePosition, Status, Task
from app.workflows.requirements import Needs
from tests.unit.tasks.test_view_cuts import TASK

ADDRESS = "127.0.0.1:8188"
KNOWN = RunTime(10.0, {"1": 2.0, "2": 6.0, "3": 2.0})
PROMPT = {id: {"class_type": "Any", "inputs": {}} for id in KNOWN.nodes}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(eta, "time", type("Clock", (), {"time": lambda: now[0]}))
    return now


@pytest.fixture
def estimates() -> RunTimes:
    found = RunTimes(cast(Database, None))
    found.learn("shape", ADDRESS, KNOWN)
    return found


def task(**fields: Any) -> Task:
    queued: dict[str, Any] = {
        "status": Status.QUEUED,
        "finished_at": None,
        "started_at": None,
        "submitted_at": 999.0,
        "shape": "shape",
        "server": ADDRESS,
        "error": None,
        "outputs": (),
        "warnings": (),
        "progress": Progress(),
    }
    return replace(TASK, **{**queued, **fields})


def running(**fields: Any) -> Task:
    return task(status=Status.RUNNING, started_at=1000.0, **fields)


# -- the clock ----------------------------------------------------------------------------------
def test_a_silent_node_runs_down_to_what_is_after_it(
    clock: list[float], estimates: RunTimes
) -> None:
    """Node 2 should take 6 of the 10 seconds, and says nothing."""
    tracker = Tracker(PROMPT, took=KNOWN.nodes)
    for event in (Executing("p", "1", None), Executed("p", "1", None, None)):
        tracker.apply(event, 0.0)
    tracker.apply(Executing("p", "2", None), 2.0)

    def left(at: float) -> float | None:
        clock[0] = 1002.0 + at
        still = tracker.still(2.0 + at)
        assert still == at
        return remaining(Seen(running(), tracker.progress, still), estimates)

    assert [left(at) for at in (0, 1, 3, 6)] == [8, 7, 5, 2]
    assert left(60) == 2, "what is after it is still to be done"


def test_steps_set_it_right_and_between_them_it_runs_down(
    clock: list[float], estimates: RunTimes
) -> None:
    tracker = Tracker(PROMPT, took=KNOWN.nodes)
    tracker.apply(Executing("p", "2", None), 0.0)
    tracker.apply(Step("p", "2", 1, 2), 9.0)  # slower than ever: half of it after 9 s
    told = [
        remaining(Seen(running(), tracker.progress, tracker.still(9.0 + at) or 0), estimates)
        for at in (0, 2, 50)
    ]
    assert told == [7, 5, 4]


def test_the_first_of_its_kind(clock: list[float], estimates: RunTimes) -> None:
    seen = Seen(running(shape="new"), Progress(0.5), still=0.0)
    clock[0] = 1020.0
    assert remaining(seen, estimates) == 20
    clock[0] = 1026.0
    assert remaining(seen._replace(still=6.0), estimates) == 14
    clock[0] = 1090.0
    assert remaining(seen._replace(still=70.0), estimates) == 0
    assert remaining(seen._replace(progress=Progress(0.01)), estimates) is None


def test_another_process_runs_it(clock: list[float], estimates: RunTimes) -> None:
    """Only its row is known: nodes that are over, and since when it runs."""
    silent = running(progress=Progress(0.2, current_node="2", node_seconds={"1": 2.0, "4": None}))
    clock[0] = 1005.0
    assert remaining(seen_in_row(silent), estimates) == 5
    steps = replace(silent.progress, step=1, steps=6, value=0.3)
    assert remaining(seen_in_row(replace(silent, progress=steps)), estimates) == 7
    assert remaining(seen_in_row(task()), estimates) == 10, "it waits there"


def test_nothing_is_heard(clock: list[float], estimates: RunTimes) -> None:
    seen = Seen(running(), Progress(0.2), still=1.0, blind=True)
    clock[0] = 1007.0
    assert remaining(seen, estimates) == 3
    clock[0] = 1070.0
    assert remaining(seen, estimates) == 0


def test_what_waits_behind_it_runs_down_too(clock: list[float], estimates: RunTimes) -> None:
    seen = Seen(running(), Progress(0.2, current_node="2"), still=5.0)
    assert wait_of([seen], 0, estimates) == 3
    unknown = Seen(running(shape="new"), Progress(), still=0.0)
    assert wait_of([unknown], 0, estimates) == eta.DEFAULT_SECONDS
    clock[0] = 1004.0
    assert wait_of([unknown], 0, estimates) == eta.DEFAULT_SECONDS - 4


# -- each state of a server, each place of a task -----------------------------------------------
class Driving:
    """In place of the dispatcher: what the gateways have on the server."""

    def __init__(self, estimates: RunTimes, *seen: Seen) -> None:
        self._run_times = estimates
        self._seen = seen

    def seen(self, task_id: str) -> Seen | None:
        return next((one for one in self._seen if one.task.task_id == task_id), None)

    def seen_on(self, server: Server) -> Sequence[Seen]:
        return self._seen

    def wait_of(self, server: Server) -> float:
        return wait_on(server, self._seen, self._run_times)


class RequirementsCache:
    def __init__(self) -> None:
        self.requirements = {"": Requirements(Needs(), None)}


FIRST = running(task_id="1", seq=1)
SECOND = task(task_id="2", seq=2, submitted_at=999.5)
THIRD = task(task_id="3", seq=3, submitted_at=999.9)
WAITING = task(
    task_id="4",
    server=None,
    submitted_at=None,
    queue_position=QueuePosition(1, 0.0, 0),
    owner="mine",
)
STATES = [
    *("online", "offline"),
    "connecting",
    "looked over",
    "stalled",
    "draining",
    "leaving",
    "removed",
    *("out by breaker", "closed to the key", "strangers"),
]


def bring_to(state: str, server: Server) -> None:
    match state:
        case "offline":
            server.health = Health(False, "It cannot be reached.")
        case "connecting":
            server.health, server.node_types = Health(), {}
        case "looked over":
            server.swept = False
        case "stalled":
            server.stalled = "no sign of progress"
        case "draining" | "leaving":
            server.draining, server.removed = state == "draining", state == "leaving"
        case "out by breaker" | "closed to the key":
            for number in range(5):
                key = "other" if state == "out by breaker" and number % 2 else "mine"
                server.breaker.failed("x", proven=True, key=key)


def expectations(state: str, estimates: RunTimes) -> dict[str, Any]:
    """What is told of each task while the server is in that state."""
    pool = Pool([ADDRESS], slots=3)
    server = pool.get(ADDRESS)
    server.health, server.swept, server.node_types = Health(True, None), True, {"Any": {}}
    server.connected, server.queue_length = True, 5 if state == "strangers" else 3
    bring_to(state, server)
    if state == "removed":
        del pool._servers[ADDRESS]
    driving = Driving(
        estimates,
        Seen(FIRST, Progress(0.2, current_node="2"), still=1.0),
        Seen(SECOND, Progress(), 0.0),
        Seen(THIRD, Progress(), 0.0),
    )
    presenter = TaskPresenter(
        pool, cast(Queue, RequirementsCache()), estimates, cast(Dispatcher, driving)
    )
    places = {"running": FIRST, "queued there": SECOND, "behind it": THIRD, "waiting": WAITING}
    return {queue_position: presenter.view(one) for queue_position, one in places.items()}


ETAS = {"running": 7.0, "queued there": 17.0, "behind it": 27.0, "waiting": 37.0}
NOTHING = {"eta_seconds": None, "waiting_for": None, "warnings": 0}


def told(state: str, estimates: RunTimes) -> dict[str, Any]:
    return {
        queue_position: {
            "eta_seconds": view["eta_seconds"],
            "waiting_for": view["waiting_for"],
            "warnings": len(view["warnings"]),
        }
        for queue_position, view in expectations(state, estimates).items()
    }


def going_on(*places: str) -> dict[str, Any]:
    return {
        queue_position: {**NOTHING, "eta_seconds": ETAS[queue_position]}
        for queue_position in places
    }


def held_up(why: str, *places: str, waiting: str) -> dict[str, Any]:
    found = {
        queue_position: {**NOTHING, "waiting_for": f"its server {ADDRESS} {why}"}
        for queue_position in places
    }
    return {**found, "waiting": {**NOTHING, "waiting_for": waiting}}


QUEUED = ("queued there", "behind it")
UNSURE = {"running": {**NOTHING, "warnings": 1}}
TAKEN_OFF = "the task is taken off it."
STRANGERS = f"{ADDRESS} has 2 prompts of others in its queue; how long that takes is not known."
EXPECTED = {
    "online": going_on(*ETAS),
    "offline": UNSURE
    | held_up("is offline: It cannot be reached.", *QUEUED, waiting="127.0.0.1:8188 is offline."),
    "connecting": UNSURE
    | held_up("is offline: not asked yet.", *QUEUED, waiting="127.0.0.1:8188 is offline."),
    "looked over": going_on("running", *QUEUED)
    | held_up("", waiting="127.0.0.1:8188 is being looked over."),
    "stalled": {"running": NOTHING}
    | held_up(f"is stalled: {TAKEN_OFF}", *QUEUED, waiting="127.0.0.1:8188 is stalled."),
    "draining": going_on("running")
    | held_up(f"is draining: {TAKEN_OFF}", *QUEUED, waiting="127.0.0.1:8188 is draining."),
    "leaving": going_on("running")
    | held_up(f"is draining: {TAKEN_OFF}", *QUEUED, waiting="127.0.0.1:8188 is draining."),
    "removed": UNSURE
    | held_up(
        "is not among the servers any more.",
        *QUEUED,
        waiting="a ComfyUI server is not among the servers.",
    ),
    "strangers": going_on("running")
    | {
        queue_position: NOTHING | {"waiting_for": STRANGERS}
        for queue_position in (*QUEUED, "waiting")
    },
    "out by breaker": going_on("running", *QUEUED)
    | held_up("", waiting="127.0.0.1:8188 is failing."),
    "closed to the key": going_on("running", *QUEUED)
    | held_up("", waiting="127.0.0.1:8188 is failing."),
}


@pytest.mark.parametrize("state", STATES)
def test_each_state_of_a_server(state: str, clock: list[float], estimates: RunTimes) -> None:
    clock[0] = 1003.0
    assert told(state, estimates) == EXPECTED[state]


def test_canceling_on_a_server_that_is_away(clock: list[float], estimates: RunTimes) -> None:
    pool, driving = Pool([ADDRESS], slots=1), cast(Dispatcher, Driving(estimates))
    presenter = TaskPresenter(pool, cast(Queue, RequirementsCache()), estimates, driving)
    view = presenter.view(replace(FIRST, status=Status.CANCELING))
    assert (view["eta_seconds"], len(view["warnings"])) == (None, 1)


def test_a_warning_is_told_only_while_it_holds(clock: list[float], estimates: RunTimes) -> None:
    (said,) = expectations("offline", estimates)["running"]["warnings"]
    assert said.startswith(f"Its server {ADDRESS} is offline: It cannot be reached.")
    assert expectations("online", estimates)["running"]["warnings"] == []


def test_the_clock_is_the_real_one(estimates: RunTimes) -> None:
    seen = Seen(replace(running(), started_at=time.time() - 4), Progress(), 0.0, blind=True)
    assert 5 < (remaining(seen, estimates) or 0) < 6.1  # its clock may stand still for a while
