"""Removes rows that nobody needs any more, in batches, so that nothing waits long for it."""

import asyncio
import logging
from collections.abc import Callable, Sequence

from sqlalchemy import Connection

from app.db import idempotency
from app.db import prompts as graphs
from app.db import quotas as shares
from app.db import requirements as routes
from app.db import run_times as estimates
from app.db import task_filters as selection
from app.db.engine.database import Database
from app.db.engine.list_parameters import PART

log = logging.getLogger(__name__)

INTERVAL = 60.0  # seconds between two looks

# Each removes some rows in a transaction, and answers how many: PART if there may be more.
Removal = Callable[[Connection], int]
REMOVALS: Sequence[Removal] = (
    routes.forget_unused,
    graphs.GRAPHS.forget_unused,
    graphs.EXTRAS.forget_unused,
    idempotency.forget_old,
    shares.forget_old,
    selection.forget_left,
    estimates.forget_oldest,
)


class Tidying:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def run(self) -> None:
        """Look again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(INTERVAL)
            try:
                async with self._database.alone("tidying") as ours:
                    if ours:
                        await self.tidy()
            except Exception:  # a database that is busy or away; the next look finds the same
                log.exception("old rows cannot be removed now")

    async def tidy(self) -> None:
        for removal in REMOVALS:
            while await self._database.write(removal, large=True) == PART:
                pass
