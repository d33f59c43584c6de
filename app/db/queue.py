"""SQL to claim tasks from the queue.

The task table is the queue. A claim is an UPDATE of owner and lease. Processes that share the table
claim one after the other, so that each sees how many tasks the others have assigned to a server,
and no server gets more than its slots.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, or_, select, update

from app.db import client_lanes, prompts, quotas, requirements
from app.db.claimed import Claim, claims_of
from app.db.engine.database import Database
from app.db.engine.list_parameters import any_of, none_of, parts_of, task_ids
from app.db.engine.notify import Topic, notify
from app.db.engine.statement import Statement
from app.db.lease import Lease
from app.db.mapping import task_of, waiting_of
from app.db.queries import KEY_NAME, STUCK, TASKS, fetch, is_active, is_queued
from app.db.requirements import Requirements, RequirementsCache
from app.db.tables import prompts as prompt_rows
from app.db.tables import tasks
from app.limits.json_types import Json
from app.tasks.model import Assignment, WaitingTask
from app.workflows.requirements import Needs, requirements_of

MAX_CANDIDATES = 32  # tasks at the head of the queue that are considered at a time
CLAIM_LOCK_ID = 0x6F1A_0002  # PostgreSQL advisory lock: one process claims at a time

# Held until the end of the transaction; PostgreSQL aborts that of a process that is suspended.
_ONE_AT_A_TIME = Statement(
    select(
        func.set_config("idle_in_transaction_session_timeout", "5000", True),
        func.pg_advisory_xact_lock(CLAIM_LOCK_ID),
    )
)
_HELD = Statement(
    select(tasks.c.server, func.count().label("held"))
    .where(is_active(), tasks.c.server.is_not(None))
    .group_by(tasks.c.server)
)
_NEWEST = (
    select(tasks.c.server, tasks.c.route)
    .where(is_active(), tasks.c.server.is_not(None), tasks.c.submitted_at.is_not(None))
    .order_by(tasks.c.submitted_at, tasks.c.seq)
)

# Released, or with an expired lease. Our own tasks stay ours even if the lease is late.
_OWNERLESS = or_(
    tasks.c.owner.is_(None),
    and_(tasks.c.lease_until < bindparam("now"), tasks.c.owner != bindparam("me")),
)
# A queued task has an owner if it came with a paid node key, which only that process holds.
_FREE = or_(tasks.c.owner == bindparam("me"), _OWNERLESS)
_CANDIDATES = (
    select(
        *(tasks.c.seq, tasks.c.route, tasks.c.shape, tasks.c.expected, tasks.c.rank),
        *(tasks.c.priority, tasks.c.created_at, tasks.c.key_name, tasks.c.lane),
    )
    .where(is_queued(), tasks.c.server.is_(None), _FREE)
    .where(none_of(tasks.c.route, "excluded"))
    .where(none_of(KEY_NAME, "full"))
    .order_by(tasks.c.rank, tasks.c.seq)
    .limit(MAX_CANDIDATES)
)
# By whether there are lanes to pass over
_WAITING = {
    False: Statement(_CANDIDATES),
    True: Statement(_CANDIDATES.where(none_of(client_lanes.LANE, "lanes"))),
}
# A cancel may have come in between.
_STILL_THERE = (
    select(tasks.c.seq)
    .where(any_of(tasks.c.seq, "seqs"))
    .where(is_queued(), tasks.c.server.is_(None))
    .with_for_update(skip_locked=True)
)
_GIVE = Statement(
    update(tasks)
    .where(tasks.c.seq.in_(_STILL_THERE))
    .values(owner=bindparam("me"), lease_until=bindparam("until"), server=bindparam("to_server"))
    # Only this: RETURNING omits table names, so a column of a subquery would be ambiguous
    .returning(tasks.c.seq)
)
_ROUTES_THAT_WAIT = select(tasks.c.route).where(is_queued(), tasks.c.server.is_(None)).distinct()
_REROUTE = (
    update(tasks)
    .where(is_queued(), tasks.c.server.is_(None), tasks.c.route == bindparam("old"))
    .values(route=bindparam("new"))
)
_THESE = TASKS.where(any_of(tasks.c.seq, "seqs")).order_by(tasks.c.seq)
_CLAIMED = Statement(
    _THESE.add_columns(*prompts.COLUMNS).select_from(
        tasks.outerjoin(prompt_rows, prompt_rows.c.task_id == tasks.c.task_id)
    )
)
_PLACES = select(
    tasks.c.task_id, tasks.c.server, tasks.c.finished_at.is_not(None).label("finished")
).where(any_of(tasks.c.task_id, "task_ids"))

_LEFT_BEHIND = select(tasks.c.seq).where(is_active(), tasks.c.server.is_not(None), _OWNERLESS)


def _taking(condition: ColumnElement[bool]) -> Any:
    # SQLite ignores FOR UPDATE: it has one writer and needs no row locks.
    rows_to_take = _LEFT_BEHIND.where(condition).limit(100).with_for_update(skip_locked=True)
    return (
        update(tasks)
        .where(tasks.c.seq.in_(rows_to_take))
        .values(owner=bindparam("me"), lease_until=bindparam("until"))
        .returning(tasks.c.seq)
    )


_TAKE_OVER = _taking(any_of(tasks.c.server, "servers"))
_TAKE_ORPHANS = _taking(none_of(tasks.c.server, "servers"))


class Left(Enum):
    """What a claim did not take."""

    NOTHING = "nothing"  # no task waits
    UNFIT = "unfit"  # tasks that fitted no free slot, if any
    MORE = "more"  # tasks that another claim may take at once


Choose = Callable[[Sequence[WaitingTask]], Sequence[Assignment]]
# Maps the tasks held per server to the requirements to pass over and a function that chooses among
# the other tasks; None without free slots.
Offer = Callable[[Mapping[str, int]], tuple[Collection[str], Choose] | None]


class Queue:
    """Claims tasks for one process.

    `concurrency` returns the limits of tasks on servers at a time, for the API keys that have one,
    `in_lane` is the limit of each lane.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        concurrency: Callable[[], Mapping[str, int]] = dict,
        in_lane: int = 1,
    ) -> None:
        self._database = database
        self._lease = lease
        self._concurrency = concurrency
        self.in_lane = in_lane
        self.requirements = RequirementsCache()

    async def take_over(self, servers: Collection[str]) -> list[Claim]:
        """Claim the tasks on these servers without a live owner, to re-attach to them."""
        values = {**self._terms(), "servers": list(servers)}
        return await self._database.write(lambda c: self._taken(c, _TAKE_OVER, values), large=True)

    async def adopt(self, *, keep_servers: Collection[str]) -> list[Claim]:
        """Claim the tasks on servers other than `keep_servers` without a live owner."""
        values = {**self._terms(), "servers": list(keep_servers)}
        return await self._database.write(
            lambda c: self._taken(c, _TAKE_ORPHANS, values), large=True
        )

    async def assign(
        self, offer: Offer, *, barred: Collection[str] = (), large: bool = False
    ) -> tuple[list[Claim], Left]:
        """Pass the head of the queue to the function that `offer` returns, and claim what it
        assigns.

        Tasks of `barred` API keys, and of keys at their limit, are passed over. Returns the claims,
        and what is left in the queue. `large`: many requirements are passed over.
        """
        lease, limits = self._terms(), self._concurrency()

        def work(connection: Connection) -> tuple[list[Claim], Left]:
            if connection.dialect.name == "postgresql":  # SQLite has a single writer
                _ONE_AT_A_TIME.rows(connection)
            held = {row.server: row.held for row in _HELD.rows(connection)}
            if (offered := offer(held)) is None:
                return [], Left.UNFIT
            excluded, choose = offered
            room = quotas.free_slots(connection, limits)
            full = [*quotas.exhausted(room), *barred]
            values = {**lease, "excluded": list(excluded), "full": full}

            def read(passed_over: Collection[str]) -> Sequence[Any]:
                waiting = _WAITING[bool(passed_over)]
                return waiting.rows(connection, {**values, "lanes": passed_over})

            found, more, is_cut = client_lanes.offered(
                connection, read, MAX_CANDIDATES, self.in_lane
            )
            requirements = self.requirements.read(connection, {row.route for row in found})
            waiting = [waiting_of(row, *requirements[row.route], lease["now"]) for row in found]
            owners = {task.seq: task.owner for task in waiting}
            gifts = quotas.within(room, choose(waiting), lambda gift: owners[gift.seq])
            got = self._give(connection, gifts, lease)
            if more or len(got) < len(gifts):
                return got, Left.MORE
            is_all = len(got) == len(found) and not (excluded or full or is_cut)
            return got, Left.NOTHING if is_all else Left.UNFIT

        return await self._database.write(work, large=large)

    async def newest(self) -> dict[str, Needs]:
        """Return the needs of the prompt submitted last to each server, among unfinished tasks."""

        def work(connection: Connection) -> dict[str, Needs]:
            last = {row.server: row.route for row in connection.execute(_NEWEST)}
            requirements = self.requirements.read(connection, set(last.values()))
            return {server: requirements[wanted].needs for server, wanted in last.items()}

        return await self._database.read(work)

    async def waiting_requirements(self) -> list[str]:
        """Return the distinct requirements of queued tasks."""
        return await self._database.read(
            lambda connection: list(connection.scalars(_ROUTES_THAT_WAIT)), large=True
        )

    def note_stuck(self, requirements_ids: Sequence[str]) -> None:
        """Set the requirements that no server accepts now, see `queries.positions_of`."""
        self._database.remember(**{STUCK: tuple(requirements_ids)})

    async def read_requirements(self, wanted: Collection[str]) -> Mapping[str, Requirements]:
        """Return the requirements by id."""
        return await self._database.read(lambda c: self.requirements.read(c, wanted), large=True)

    async def reroute(self, requirements_id: str, needs: Needs) -> None:
        """Replace the needs of queued tasks with these requirements, without a wanted server."""
        new = requirements_of(needs)

        def work(connection: Connection) -> None:
            requirements.hold(connection, [new])
            connection.execute(_REROUTE, {"old": requirements_id, "new": new.requirements_id})
            notify(connection, Topic.WORK)

        await self._database.write(work, large=True)

    async def locations_of(self, held: Iterable[str]) -> dict[str, tuple[str | None, bool]]:
        """Return, for ids of our tasks, their server and whether they are finished."""
        found: dict[str, tuple[str | None, bool]] = {}
        for part in parts_of(task_ids(held)):
            for row in await self._database.read(partial(_places, part)):
                found[row.task_id] = (row.server, bool(row.finished))
        return found

    async def runner_ids(self) -> list[str]:
        query = select(tasks.c.owner).where(is_active(), tasks.c.owner.is_not(None)).distinct()
        return await self._database.read(
            lambda connection: list(connection.scalars(query)), large=True
        )

    # -- helpers --------------------------------------------------------------------------------

    def _terms(self) -> dict[str, Any]:
        return {"me": self._lease.runner_id, "now": time.time(), "until": self._lease.until()}

    def _give(
        self, connection: Connection, gifts: Collection[Assignment], lease: Mapping[str, Any]
    ) -> list[Claim]:
        """Claim the tasks in queue order, except those canceled meanwhile.

        They have no results yet, so none are read.
        """
        by_server: dict[str, list[int]] = {}
        for gift in gifts:
            by_server.setdefault(gift.server, []).append(gift.seq)
        given: list[int] = []
        for server, seqs in by_server.items():
            values = {**lease, "to_server": server, "seqs": seqs}
            given += [row.seq for row in _GIVE.rows(connection, values)]
        if not given:
            return []
        found = _CLAIMED.rows(connection, {"seqs": given})
        got = {row.seq: task_of(row._asdict()) for row in found}
        parts = prompts.parts_in(connection, found)
        in_order = [got[gift.seq] for gift in gifts if gift.seq in got]
        return claims_of(connection, self.requirements, in_order, parts)

    def _taken(self, connection: Connection, taking: Any, values: Json) -> list[Claim]:
        seqs = list(connection.scalars(taking, values))
        found = fetch(connection, _THESE, {"seqs": seqs}) if seqs else []
        parts = prompts.parts(connection, [task.task_id for task in found])
        return claims_of(connection, self.requirements, found, parts)


def _places(part: Sequence[str], connection: Connection) -> Sequence[Any]:
    return connection.execute(_PLACES, {"task_ids": part}).all()
