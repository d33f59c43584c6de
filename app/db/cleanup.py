"""Deletes rows that are no longer needed, in batches, so that other writers do not wait long."""

from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from app.db import idempotency, prompts, quotas, requirements, run_times, task_filters
from app.db.engine.database import Database
from app.db.engine.list_parameters import MAX_LIST_ROWS
from app.limits.periodic import every

CLEANUP_INTERVAL = 60.0  # seconds between two cleanups

# Deletes some rows in a transaction; returns their number: MAX_LIST_ROWS if there may be more.
Removal = Callable[[Connection], int]
REMOVALS: Sequence[Removal] = (
    requirements.forget_unused,
    prompts.GRAPHS.forget_unused,
    prompts.EXTRAS.forget_unused,
    idempotency.forget_old,
    quotas.forget_old,
    task_filters.forget_left,
    run_times.forget_oldest,
)


class Tidying:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Delete old rows every CLEANUP_INTERVAL seconds until cancelled."""
        await every(CLEANUP_INTERVAL, self._tidy_alone, "removing old rows", at_once=False)

    async def _tidy_alone(self) -> None:
        async with self._database.alone("tidying") as ours:
            if ours:
                await self.tidy()

    async def tidy(self) -> None:
        """Delete all rows that are no longer needed, in batches."""
        for removal in REMOVALS:
            while await self._database.write(removal, large=True) == MAX_LIST_ROWS:
                pass
