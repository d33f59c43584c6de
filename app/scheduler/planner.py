"""Which waiting task goes to which server. Pure.

Tasks come in the order of the queue. Each goes to the server, of those with room that have all it
needs, where it should be done first: where little waits, and its models are loaded already. A
task whose models are loaded nowhere lets others of the same priority pass that find theirs, for
a while: that saves servers from loading models in turns.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.tasks.model import Assignment, WaitingTask
from app.workflows.requirements import Needs

MAX_WAIT_FOR_WARM = 30.0  # seconds that a task lets others pass
LOADING_SECONDS = 10.0  # seconds that loading models from disk may take
EVICTING_SECONDS = 1.0  # seconds that it is worth to keep the models that another server has loaded


class Candidate(Protocol):
    """What the planner asks of a server."""

    @property
    def id(self) -> str: ...

    def can_run(self, needs: Needs) -> bool: ...


@dataclass(slots=True)
class ServerCapacity:
    """A server with room for `free` tasks, which runs the next one in `wait` seconds."""

    server: Candidate
    free: int
    wait: float
    warm: frozenset[str]  # names of the model files it has loaded

    def beside(self, held: int) -> "ServerCapacity":
        """The same with room for so many less."""
        return replace(self, free=self.free - held)

    def takes(self, needs: Needs, wanted_server: str | None) -> bool:
        return wanted_server in (None, self.server.id) and self.server.can_run(needs)

    def is_warm(self, task: WaitingTask) -> bool:
        return task.needs.models <= self.warm


class Seconds(Protocol):
    """How long prompts of a shape run on a server."""

    def __call__(self, shape: str, server: str) -> float: ...


def plan(
    waiting: Sequence[WaitingTask], capacities: Sequence[ServerCapacity], seconds: Seconds
) -> list[Assignment]:
    """Give out the free places. Changes the capacities accordingly."""
    given: list[Assignment] = []
    let_pass: list[WaitingTask] = []
    for task in waiting:
        overtakes = any(task.priority < other.priority for other in let_pass)
        must_load = task.waited < MAX_WAIT_FOR_WARM and not any(
            capacity.is_warm(task) for capacity in capacities
        )
        if overtakes or must_load:
            let_pass.append(task)
        else:
            given += _seat(task, capacities, seconds)
    for task in let_pass:
        given += _seat(task, capacities, seconds)
    return given


def _seat(
    task: WaitingTask, capacities: Sequence[ServerCapacity], seconds: Seconds
) -> list[Assignment]:
    able = [
        capacity
        for capacity in capacities
        if capacity.free > 0 and capacity.takes(task.needs, task.wanted_server)
    ]
    if not able:
        return []

    def until_done(capacity: ServerCapacity) -> float:
        loading = 0.0 if capacity.is_warm(task) else LOADING_SECONDS
        return capacity.wait + loading + seconds(task.shape, capacity.server.id)

    def cost(capacity: ServerCapacity) -> float:
        evicts = bool(capacity.warm) and not capacity.is_warm(task)
        return until_done(capacity) + (EVICTING_SECONDS if evicts else 0.0)

    best = min(able, key=cost)
    best.wait = until_done(best)
    best.free -= 1
    if task.needs.files:
        best.warm = task.needs.models
    return [Assignment(task.seq, best.server.id)]
