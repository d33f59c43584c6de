"""The requirements that tasks wait with, and the servers that meet each of them.

Kept between claims, so that a claim passes over requirements that no free server meets, however
many there are, and queries no others. Requirements are added when they fill the head of the queue,
and removed when `look_over` finds no waiting task with them.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from app.db.engine.list_parameters import parts_of
from app.db.queue import MAX_CANDIDATES, Queue
from app.db.requirements import Requirements
from app.limits.json_types import Json
from app.runner.rerouting import is_left_alone
from app.scheduler.planner import ServerCapacity
from app.servers.pool import Pool
from app.tasks.model import WaitingTask

MANY_REQUIREMENTS = 200  # requirements; passing over more makes a claim slow


class WaitingRequirements:
    def __init__(self, pool: Pool, queue: Queue) -> None:
        self._pool = pool
        self._queue = queue
        self._able: dict[
            str, frozenset[str]
        ] = {}  # requirements_id -> ids of the servers that meet it
        self._judged_by: list[tuple[str, Json]] = []
        self._overdue = False

    @property
    def many(self) -> bool:
        return len(self._able) > MANY_REQUIREMENTS

    @property
    def overdue(self) -> bool:
        """Whether `look_over` should be called before the next claim."""
        return self._overdue or (bool(self._able) and not self._is_judged_by(self._servers()))

    def passed_over(self, capacities: Iterable[ServerCapacity]) -> list[str]:
        """Return the known requirements that none of these servers meets."""
        ids = {capacity.server.id for capacity in capacities}
        return [
            requirements_id for requirements_id, able in self._able.items() if able.isdisjoint(ids)
        ]

    def notice(self, head: Sequence[WaitingTask], capacities: Collection[ServerCapacity]) -> None:
        """Note what a claim saw of the queue.

        If the claim saw only a part of the queue, other tasks may wait behind those that no server
        takes.
        """
        if len(head) == MAX_CANDIDATES:
            kinds = {task.requirements_id: task for task in head}.values()
            self._overdue |= not all(_is_taken(task, capacities) for task in kinds)

    async def look_over(self) -> bool:
        """Update the waiting requirements; return True if no server meets some of them."""
        self._overdue, servers = False, self._servers()
        known = self._able if self._is_judged_by(servers) else {}
        waiting = await self._queue.waiting_requirements()
        able = {
            requirements_id: known[requirements_id]
            for requirements_id in waiting
            if requirements_id in known
        }
        same: dict[frozenset[str], frozenset[str]] = {}
        # In parts, so that the event loop serves others in between.
        for part in parts_of(
            requirements_id for requirements_id in waiting if requirements_id not in known
        ):
            for name, requirements in (await self._queue.read_requirements(part)).items():
                found = frozenset(server.id for server in self._pool.able(*requirements))
                able[name] = same.setdefault(found, found)
        self._able, self._judged_by = able, servers
        return not all(able.values())

    async def ask_again(self) -> None:
        """Revise all waiting requirements.

        If servers refused a prompt and no other server is left, its refusals are cleared, so that a
        server is tried once more and its answer is final. Requirements that no server accepts at
        present are noted as stuck, so that they do not block others.
        """
        stuck: list[str] = []
        for part in parts_of(await self._queue.waiting_requirements()):
            for name, requirements in (await self._queue.read_requirements(part)).items():
                if is_left_alone(self._pool, requirements.needs):
                    await self._queue.reroute(
                        name, replace(requirements.needs, refused=frozenset())
                    )
                elif len(stuck) < MANY_REQUIREMENTS and not self._is_taken_somewhere(
                    name, requirements
                ):
                    stuck.append(name)
        self._queue.note_stuck(stuck)

    def _is_taken_somewhere(self, name: str, requirements: Requirements) -> bool:
        if name in self._able and self._is_judged_by(self._servers()):
            able = self._able[name]
            return any(server.accepting and server.id in able for server in self._pool)
        return self._pool.has_other(None, *requirements)

    def _servers(self) -> list[tuple[str, Json]]:
        return [(server.id, server.node_types) for server in self._pool]

    def _is_judged_by(self, servers: list[tuple[str, Json]]) -> bool:
        """Return whether the servers and their node types are unchanged.

        Node types are replaced as a whole, never modified, so identity is enough.
        """
        before = self._judged_by
        return len(before) == len(servers) and all(
            old[0] == new[0] and old[1] is new[1] for old, new in zip(before, servers, strict=True)
        )


def _is_taken(task: WaitingTask, capacities: Iterable[ServerCapacity]) -> bool:
    return any(capacity.takes(task.needs, task.wanted_server) for capacity in capacities)
