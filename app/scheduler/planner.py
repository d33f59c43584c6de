"""Assignment of waiting tasks to servers with free slots. Pure.

Tasks are considered in queue order. Each goes to the server that meets its requirements and should
finish it first, considering the server's wait and whether it is warm. For up to MAX_WAIT_FOR_WARM
seconds a task that no server is warm for lets tasks of the same priority pass that have a warm
server, so that servers do not load models alternately.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from app.tasks.model import Assignment, WaitingTask
from app.workflows.requirements import Needs

MAX_WAIT_FOR_WARM = 30.0  # seconds that a task lets others pass
LOADING_SECONDS = 10.0  # estimated seconds to load models from disk
# Seconds that are accepted in order to keep the loaded models of another server
EVICTING_SECONDS = 1.0


class Candidate(Protocol):
    """The part of a server that the planner uses."""

    @property
    def id(self) -> str: ...

    def can_run(self, needs: Needs) -> bool: ...


@dataclass(slots=True)
class ServerCapacity:
    """A server with `free` slots that can start the next task in `wait` seconds."""

    server: Candidate
    free: int
    wait: float
    warm: frozenset[str]  # names of the loaded model files

    def beside(self, held: int) -> "ServerCapacity":
        """Return a copy with `held` slots less."""
        return replace(self, free=self.free - held)

    def takes(self, needs: Needs, wanted_server: str | None) -> bool:
        return wanted_server in (None, self.server.id) and self.server.can_run(needs)

    def is_warm(self, models: frozenset[str]) -> bool:
        return models <= self.warm


class Seconds(Protocol):
    """Returns how long prompts of a shape run on a server."""

    def __call__(self, shape: str, server: str) -> float: ...


def plan(
    waiting: Sequence[WaitingTask], capacities: Sequence[ServerCapacity], seconds: Seconds
) -> list[Assignment]:
    """Assign tasks to the free slots; updates `capacities` accordingly."""
    given: list[Assignment] = []
    let_pass: list[WaitingTask] = []
    for task in waiting:
        overtakes = any(task.priority < other.priority for other in let_pass)
        models = task.needs.models
        must_load = task.waited < MAX_WAIT_FOR_WARM and not any(
            capacity.is_warm(models) for capacity in capacities
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
    models = task.needs.models

    def until_done(capacity: ServerCapacity) -> float:
        loading = 0.0 if capacity.is_warm(models) else LOADING_SECONDS
        return capacity.wait + loading + seconds(task.shape, capacity.server.id)

    def cost(capacity: ServerCapacity) -> float:
        evicts = bool(capacity.warm) and not capacity.is_warm(models)
        return until_done(capacity) + (EVICTING_SECONDS if evicts else 0.0)

    best = min(able, key=cost)
    best.wait = until_done(best)
    best.free -= 1
    if task.needs.files:
        best.warm = models
    return [Assignment(task.seq, best.server.id)]
