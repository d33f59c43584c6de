"""The end of the queue, where nearly all new tasks go.

To count what waits takes as long as all the rest of a submit once some thousand tasks do. What one
submit finds and adds is what the next one would find, if nothing was written in between. SQLite
tells that, so that it need not be known who writes what; PostgreSQL does not, and counts each time.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from app.db import requirements
from app.db.queries import position_of_next, stuck_in
from app.tasks.model import QueuePosition, Task
from app.workflows.requirements import TaskRequirements

MAX_HELD = 1000  # ids of requirements that are remembered

# The driver's connection, a number that changes with each commit of another one, and how many rows
# it has written itself
Version = tuple[Any, int, int]


class End(NamedTuple):
    """What a submit left behind.

    `rank`: no task has a higher one. `held`: requirements whose rows exist.
    """

    version: Version
    rank: float
    stuck: Sequence[str]
    position: QueuePosition  # of the next task
    held: frozenset[str] = frozenset()


class QueueEnd:
    """The end of the queue as the last submit left it."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: End | None = None

    def read(self, connection: Connection) -> "Reading":
        """Begin a submit, before it writes anything."""
        version, last = _version(connection), self._last
        return Reading(connection, version, last if last and last.version == version else None)

    def remember(self, reading: "Reading") -> None:
        """Keep what a submit left, once it is committed."""
        self._last = reading.left or self._last


class Reading:
    """The end of the queue in the transaction of one submit."""

    __slots__ = ("_connection", "_held", "_known", "_rank", "_version", "left")

    def __init__(self, connection: Connection, version: Version | None, known: End | None) -> None:
        self._connection = connection
        self._version = version  # at the beginning
        self._known = known
        self._held = known.held if known else frozenset[str]()
        self._rank: float | None = None  # None: the next task may not be the last
        self.left: End | None = None

    def position(self, rank: float) -> tuple[QueuePosition, int]:
        """Return the position of a task that is added with this rank, and how many tasks wait."""
        known, stuck = self._known, stuck_in(self._connection)
        if known and known.rank <= rank and known.stuck == stuck:
            self._rank = rank
            return known.position, known.position.position - 1
        position, waiting = position_of_next(self._connection, rank)
        self._rank = rank if waiting == position.position - 1 else None
        return position, waiting

    def hold(self, wanted: Iterable[TaskRequirements]) -> None:
        """Do what `requirements.hold` does; rows that cannot have gone need no look.

        Only SQLite's, which has one writer: there is nothing to lock.
        """
        needed = [one for one in wanted if one.requirements_id not in self._held]
        if needed:
            requirements.hold(self._connection, needed)
            ids = frozenset([one.requirements_id for one in needed])
            self._held = self._held | ids if len(self._held) + len(ids) <= MAX_HELD else ids

    def leave(self, added: Sequence[Task]) -> None:
        """Note the end behind these tasks, after the last write of the transaction."""
        last = added[-1]
        if self._version is None or self._rank is None or last.queue_position is None:
            return
        driver, others, _ = self._version
        version, stuck = (driver, others, driver.total_changes), stuck_in(self._connection)
        is_here = last.requirements_id not in stuck
        behind = last.queue_position.next(last.expected, is_here=is_here)
        self.left = End(version, self._rank, stuck, behind, self._held)


def _version(connection: Connection) -> Version | None:
    """Return what differs if anything was written; None if the database does not tell that."""
    if connection.dialect.name != "sqlite":
        return None
    driver: Any = connection.connection.driver_connection
    ((others,),) = driver.execute("PRAGMA data_version")
    return driver, others, driver.total_changes
