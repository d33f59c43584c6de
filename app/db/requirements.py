"""Requirements of tasks: rows that tasks share, and a cache of them.

A row exists as long as an unfinished task refers to it. A transaction that adds a task holds the
row (FOR KEY SHARE) to its end, and one that deletes rows checks for such tasks again after locking
them, so that no task loses its row, whatever other processes do.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import Connection, delete, select

from app.db.engine.database import insert_if_new
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of, parts_of
from app.db.engine.statement import Statement
from app.db.queries import is_active
from app.db.tables import routes, tasks
from app.limits.lru_cache import BoundedCache
from app.workflows.requirements import Needs, TaskRequirements

MAX_CACHE_CHARACTERS = 16 << 20  # about 20,000 typical entries
OVERHEAD_CHARACTERS = 200  # per entry, in addition to its names

_THESE = Statement(select(routes).where(any_of(routes.c.route, "wanted")))
_HELD = select(routes.c.route).where(any_of(routes.c.route, "wanted"))
_HOLD = Statement(_HELD.order_by(routes.c.route).with_for_update(read=True, key_share=True))
_IN_USE = select(tasks.c.route).where(is_active())
_UNUSED = select(routes.c.route).where(routes.c.route.not_in(_IN_USE))
_TAKE_UNUSED = _UNUSED.limit(MAX_LIST_ROWS).with_for_update(skip_locked=True)
_FORGET = delete(routes).where(any_of(routes.c.route, "taken"), routes.c.route.not_in(_IN_USE))


class Requirements(NamedTuple):
    needs: Needs
    wanted_server: str | None


def _size(requirements: Requirements) -> int:
    files = sum(len(name) for file in requirements.needs.files for name in file)
    return OVERHEAD_CHARACTERS + sum(map(len, requirements.needs.classes)) + files


class RequirementsCache:
    """Cache of the requirements that were read last."""

    def __init__(self) -> None:
        self._known: BoundedCache[str, Requirements] = BoundedCache(MAX_CACHE_CHARACTERS, _size)

    def get(self, requirements_id: str) -> Requirements | None:
        return self._known.get(requirements_id)

    def know(self, requirements_id: str, needs: Needs, wanted_server: str | None) -> None:
        """Add requirements whose row was just written, or is held."""
        if self._known.get(requirements_id) is None:  # the id is a digest of the other two
            self._known.put(requirements_id, Requirements(needs, wanted_server))

    def read(self, connection: Connection, wanted: Collection[str]) -> Mapping[str, Requirements]:
        """Return the requirements by id, from the cache or the database.

        A missing row means no needs, so that ComfyUI decides. It may be missing if an older gateway
        runs beside this one, which does not hold rows.
        """
        found = {name: self.get(name) for name in wanted}
        for part in parts_of(name for name, requirements in found.items() if requirements is None):
            for row in _THESE.rows(connection, {"wanted": part}):
                requirements = Requirements(Needs.load(row.needs), row.wanted_server)
                found[row.route] = requirements
                self._known.put(row.route, requirements)
        return {
            name: requirements or Requirements(Needs(), None)
            for name, requirements in found.items()
        }


def hold(connection: Connection, wanted: Iterable[TaskRequirements]) -> None:
    """Lock the rows until the end of the transaction, and insert missing ones."""
    rows = {one.requirements_id: _row(one) for one in wanted}
    for part in parts_of(sorted(rows)):
        while missing := set(part).difference(
            [row.route for row in _HOLD.rows(connection, {"wanted": part})]
        ):
            added = [rows[requirements_id] for requirements_id in sorted(missing)]
            insert_if_new(connection.dialect.name, routes).each(connection, added)


def _row(one: TaskRequirements) -> dict[str, Any]:
    return {"route": one.requirements_id, "wanted_server": one.wanted_server, "needs": one.text}


def forget_unused(connection: Connection) -> int:
    """Delete some rows without unfinished tasks; return MAX_LIST_ROWS if there may be more."""
    taken = list(connection.scalars(_TAKE_UNUSED))
    if taken:
        connection.execute(_FORGET, {"taken": taken})
    return len(taken)
