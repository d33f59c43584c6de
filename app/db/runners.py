"""The gateway processes that use one PostgreSQL, each with a lease.

Without Redis they do not learn of each other's updates, so live updates would be missing: a process
does not start beside another one if either of them has no Redis.
"""

import asyncio
import logging
import time

from sqlalchemy import Boolean, Connection, bindparam, delete, or_, select
from sqlalchemy.dialects.postgresql import insert

from app.db.engine.database import Database
from app.db.engine.list_parameters import any_of
from app.db.lease import RENEWALS, Lease, is_dead
from app.db.tables import runners
from app.errors import CannotStart
from app.limits.periodic import attempt, every, to_its_end

log = logging.getLogger(__name__)

LOOK_INTERVAL = 0.25  # seconds between two looks whether another process is gone

_NEW = insert(runners).values(
    runner_id=bindparam("me"), lease_until=bindparam("until"), alone=bindparam("alone")
)
_RENEW = _NEW.on_conflict_do_update(
    index_elements=["runner_id"], set_={"lease_until": _NEW.excluded.lease_until}
)
_OTHERS = select(runners).where(
    runners.c.runner_id != bindparam("me"),
    runners.c.lease_until > bindparam("now"),
    or_(runners.c.alone, bindparam("alone", type_=Boolean)),
)
_LEAVE = delete(runners).where(runners.c.runner_id == bindparam("me"))
_FORGET = delete(runners).where(
    or_(runners.c.lease_until < bindparam("now"), any_of(runners.c.runner_id, "dead"))
)


class AnotherGateway(CannotStart):
    """Another process uses the database, and one of the two has no Redis."""

    def __init__(self, runner_id: str) -> None:
        super().__init__(
            f"Another gateway uses this database: process {runner_id} (host:pid:id). Several"
            " gateways on one PostgreSQL need a Redis that all of them use: set COMFYUI_REDIS_URL"
            " for each, or stop the other one first."
        )


class Runners:
    """The processes on a database. `alone`: this one has no Redis."""

    def __init__(self, database: Database, lease: Lease, *, alone: bool) -> None:
        self._database = database
        self._lease = lease
        self._alone = alone
        self._work: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Add this process.

        Wait until others are gone beside which it must not run: a gateway that is restarted may
        still stop. Raises AnotherGateway if one renews its lease even after the time of a lease.
        """
        async with self._database.locked("runners"):  # of two that start, the other one waits
            await self._wait_for_others()
            await self.renew()

    async def run(self) -> None:
        """Renew the lease until stopped, then end it, so that nobody waits for it."""
        self._work = asyncio.current_task()
        try:
            seconds = self._lease.seconds / RENEWALS
            await every(seconds, self.renew, "renewing the lease of this process")
        finally:
            await to_its_end(attempt(self._leave, "ending the lease of this process"))

    def stop(self) -> None:
        if self._work is not None:
            self._work.cancel()

    async def renew(self) -> None:
        values = {
            "me": self._lease.runner_id,
            "until": self._lease.until(),
            "alone": self._alone,
        }
        await self._database.write(lambda connection: connection.execute(_RENEW, values))

    async def _leave(self) -> None:
        values = {"me": self._lease.runner_id}
        await self._database.write(lambda connection: connection.execute(_LEAVE, values))

    async def _wait_for_others(self) -> None:
        others = await self._others()
        if others:
            log.warning(
                "Process %s has a lease on this database. Waiting for its end, as several gateways"
                " need a Redis (COMFYUI_REDIS_URL).",
                min(others),
            )
        until = time.monotonic() + self._lease.seconds
        while others and time.monotonic() < until:
            await asyncio.sleep(LOOK_INTERVAL)
            others = await self._others()
        # A process that was killed has a lease, too; one that lives renews it.
        known = others
        while others:
            for runner_id, lease_until in others.items():
                if lease_until > known.get(runner_id, 0.0):
                    raise AnotherGateway(runner_id)
            await asyncio.sleep(LOOK_INTERVAL)
            others = await self._others()

    async def _others(self) -> dict[str, float]:
        """The leases of other processes by their ids; forgets those that ended."""

        def work(connection: Connection) -> dict[str, float]:
            values = {"me": self._lease.runner_id, "now": time.time(), "alone": self._alone}
            found = {row.runner_id: row.lease_until for row in connection.execute(_OTHERS, values)}
            dead = [runner_id for runner_id in found if is_dead(runner_id)]
            connection.execute(_FORGET, {"now": values["now"], "dead": dead})
            return {id: until for id, until in found.items() if id not in dead}

        return await self._database.write(work)
