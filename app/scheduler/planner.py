"""Assignment of waiting tasks to servers with free slots. Pure.

Tasks are considered in queue order. Each goes to the server that meets its requirements and should
finish it first, considering the server's wait and whether it is warm. For up to MAX_WAIT_FOR_WARM
seconds a task that no server is warm for lets tasks of the same priority pass that have a warm
server, so that servers do not load models alternately.

Extra slots are for short tasks, as long as less is ready on the server than it should be: what is
handed over can no longer be overtaken, or go elsewhere.
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
    extra: int = 0  # how many of the slots are for short tasks only
    ready: float = 0.0  # seconds that the tasks take that wait on the server
    ready_wanted: float = 0.0  # seconds of ready tasks that keep the server busy

    def beside(self, held: int) -> "ServerCapacity":
        """Return a copy with `held` slots less."""
        return replace(self, free=self.free - held)

    def takes(self, needs: Needs, wanted_server: str | None) -> bool:
        return wanted_server in (None, self.server.id) and self.server.can_run(needs)

    def needs_more(self, seconds: float) -> bool:
        """Return whether a task of `seconds` is short, and too little is ready without it."""
        return max(self.ready, seconds) < self.ready_wanted

    def is_warm(self, models: frozenset[str]) -> bool:
        return models <= self.warm


class Times(Protocol):
    """What is known of how long prompts run."""

    def seconds(self, shape: str, server: str) -> float: ...

    def proven(self, shape: str) -> bool: ...


def plan(
    waiting: Sequence[WaitingTask], capacities: Sequence[ServerCapacity], times: Times
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
            given += _seat(task, capacities, times)
    for task in let_pass:
        given += _seat(task, capacities, times)
    return given


def _seat(
    task: WaitingTask, capacities: Sequence[ServerCapacity], times: Times
) -> list[Assignment]:
    models, proven = task.needs.models, times.proven(task.shape)

    def taken_by(capacity: ServerCapacity) -> float:
        loading = 0.0 if capacity.is_warm(models) else LOADING_SECONDS
        return loading + times.seconds(task.shape, capacity.server.id)

    def has_room(capacity: ServerCapacity) -> bool:
        if capacity.free > capacity.extra:
            return True
        return capacity.free > 0 and proven and capacity.needs_more(taken_by(capacity))

    def cost(capacity: ServerCapacity) -> float:
        evicts = bool(capacity.warm) and not capacity.is_warm(models)
        return capacity.wait + taken_by(capacity) + (EVICTING_SECONDS if evicts else 0.0)

    able = [c for c in capacities if has_room(c) and c.takes(task.needs, task.wanted_server)]
    if not able:
        return []
    best = min(able, key=cost)
    best.wait += taken_by(best)
    best.ready += taken_by(best)
    best.free -= 1
    if task.needs.files:
        best.warm = models
    return [Assignment(task.seq, best.server.id)]
