"""How many unfinished tasks callers have through ComfyUI's own protocol, for many who ask."""

import asyncio

from app.db.engine.database import Database
from app.db.native_tasks import NativeTasks


class NativeCounts:
    """Counts of callers: all who ask for one at a time share a query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._next: dict[str | None, asyncio.Task[int]] = {}  # queries that have not begun yet

    async def of(self, owner: str | None) -> int:
        """Return the number of unfinished tasks of an API key, or of all without one; what was
        committed before the call is counted."""
        if (reading := self._next.get(owner)) is None:
            reading = asyncio.create_task(self._read(owner), name="counting native tasks")
            self._next[owner] = reading
        return await asyncio.shield(reading)

    async def _read(self, owner: str | None) -> int:
        del self._next[owner]  # who asks from now on may mean what this does not see
        return await NativeTasks(self._database, owner).count()
