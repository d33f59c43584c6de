"""Which requirements wait for a server, and which servers could take each.

Remembered between claims: so that what no server with room can take is passed over, however many
requirements that is, and a claim asks about nothing but what waits. They come in here only when
they fill the head of the queue, and go when they are looked over and wait no more.
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

MANY_REQUIREMENTS = 200  # requirements; to pass over more is no matter of a moment


class WaitingRequirements:
    def __init__(self, pool: Pool, queue: Queue) -> None:
        self._pool = pool
        self._queue = queue
        self._able: dict[
            str, frozenset[str]
        ] = {}  # requirements_id -> ids of the servers that can run it
        self._judged_by: list[tuple[str, Json]] = []
        self._overdue = False

    @property
    def many(self) -> bool:
        return len(self._able) > MANY_REQUIREMENTS

    @property
    def overdue(self) -> bool:
        """Whether the queue is to be looked over before the next claim."""
        return self._overdue or (bool(self._able) and not self._is_judged_by(self._servers()))

    def passed_over(self, capacities: Iterable[ServerCapacity]) -> list[str]:
        """The requirements that nobody takes who sits there, of those that are known to wait."""
        ids = {capacity.server.id for capacity in capacities}
        return [
            requirements_id for requirements_id, able in self._able.items() if able.isdisjoint(ids)
        ]

    def notice(self, head: Sequence[WaitingTask], capacities: Collection[ServerCapacity]) -> None:
        """What a claim saw of the queue. If that is not all, others wait behind those that nobody
        takes."""
        if len(head) == MAX_CANDIDATES and not all(_is_taken(task, capacities) for task in head):
            self._overdue = True

    async def look_over(self) -> bool:
        """Learn what waits now; True if some of it no server can run, busy or not."""
        self._overdue, servers = False, self._servers()
        known = self._able if self._is_judged_by(servers) else {}
        waiting = await self._queue.waiting_requirements()
        able = {
            requirements_id: known[requirements_id]
            for requirements_id in waiting
            if requirements_id in known
        }
        same: dict[frozenset[str], frozenset[str]] = {}
        # In parts, so that others come in between.
        for part in parts_of(
            requirements_id for requirements_id in waiting if requirements_id not in known
        ):
            for name, requirements in (await self._queue.read_requirements(part)).items():
                found = frozenset(server.id for server in self._pool.able(*requirements))
                able[name] = same.setdefault(found, found)
        self._able, self._judged_by = able, servers
        return not all(able.values())

    async def ask_again(self) -> None:
        """Look at all requirements that wait. What some servers have refused, and waits for others
        of which none is left, goes to any again: who refuses it then has the last word. What no
        server takes now holds nobody up."""
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
        """Whether these are the servers as they were. Their node types are replaced, never changed,
        so there is no need to compare them."""
        before = self._judged_by
        return len(before) == len(servers) and all(
            old[0] == new[0] and old[1] is new[1] for old, new in zip(before, servers, strict=True)
        )


def _is_taken(task: WaitingTask, capacities: Iterable[ServerCapacity]) -> bool:
    return any(capacity.takes(task.needs, task.wanted_server) for capacity in capacities)
