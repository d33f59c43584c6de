"""The queue: the SQL by which tasks come to those who drive them.

The task table is the queue. A claim is an UPDATE that writes owner and lease. Processes that share
the table give out tasks one after the other: each sees what the others put on a server, so that
none gets more than its slots.
"""

import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    and_,
    bindparam,
    func,
    or_,
    select,
    update,
)

from app.tasks import shares
from app.tasks.claims import Lease
from app.tasks.database import Database
from app.tasks.model import Task
from app.tasks.planner import Assignment, Waiting
from app.tasks.queries import KEY_NAME, TASKS, fetch, is_active, is_queued
from app.tasks.rows import task_of
from app.tasks.tables import prompts, routes, tasks
from app.workflows.needs import Needs

Json = dict[str, Any]

WINDOW = 32  # tasks at the head of the queue among which the next ones are chosen
LOCK = 0x6F1A_0002  # PostgreSQL's advisory lock: one process gives out tasks at a time

# Taken for the transaction; from a process that is frozen in it PostgreSQL takes it away.
_ONE_AT_A_TIME = select(
    func.set_config("idle_in_transaction_session_timeout", "5000", True),
    func.pg_advisory_xact_lock(LOCK),
)
_HELD = (
    select(tasks.c.server, func.count().label("held"))
    .where(is_active(), tasks.c.server.is_not(None))
    .group_by(tasks.c.server)
)
_NEWEST = (
    select(tasks.c.server, tasks.c.route)
    .where(is_active(), tasks.c.server.is_not(None), tasks.c.submitted_at.is_not(None))
    .order_by(tasks.c.submitted_at)
)

# Let go, or its owner's lease lapsed. Our own, late as we may be, are still ours.
_OWNERLESS = or_(
    tasks.c.owner.is_(None),
    and_(tasks.c.lease_until < bindparam("now"), tasks.c.owner != bindparam("me")),
)
# A task in the queue has an owner if it came with an API key, which is in that one's memory only.
_FREE = or_(tasks.c.owner == bindparam("me"), _OWNERLESS)
_WAITING = (
    select(
        *(tasks.c.seq, tasks.c.route, tasks.c.shape, tasks.c.expected),
        *(tasks.c.priority, tasks.c.created_at, tasks.c.key_name),
    )
    .where(is_queued(), tasks.c.server.is_(None), _FREE)
    .where(tasks.c.route.not_in(bindparam("excluded", expanding=True)))
    .where(KEY_NAME.not_in(bindparam("full", expanding=True)))
    .order_by(tasks.c.rank, tasks.c.seq)
    .limit(WINDOW)
)
# A cancel may come between.
_STILL_THERE = (
    select(tasks.c.seq)
    .where(tasks.c.seq.in_(bindparam("seqs", expanding=True)))
    .where(is_queued(), tasks.c.server.is_(None))
    .with_for_update(skip_locked=True)
)
_GIVE = (
    update(tasks)
    .where(tasks.c.seq.in_(_STILL_THERE))
    .values(owner=bindparam("me"), lease_until=bindparam("until"), server=bindparam("to_server"))
    .returning(*TASKS.selected_columns)
)
_ROUTES = select(routes).where(routes.c.route.in_(bindparam("wanted", expanding=True)))
_CLAIMED = TASKS.where(tasks.c.seq.in_(bindparam("seqs", expanding=True))).order_by(tasks.c.seq)
_PROMPTS = select(prompts).where(prompts.c.task_id.in_(bindparam("task_ids", expanding=True)))


_LEFT_BEHIND = select(tasks.c.seq).where(is_active(), tasks.c.server.is_not(None), _OWNERLESS)


def _taking(condition: ColumnElement[bool]) -> Any:
    # SQLite has one writer and needs no row locks: it ignores the FOR UPDATE.
    rows_to_take = _LEFT_BEHIND.where(condition).limit(100).with_for_update(skip_locked=True)
    return (
        update(tasks)
        .where(tasks.c.seq.in_(rows_to_take))
        .values(owner=bindparam("me"), lease_until=bindparam("until"))
        .returning(tasks.c.seq)
    )


_TAKE_OVER = _taking(tasks.c.server.in_(bindparam("servers", expanding=True)))
_TAKE_ORPHANS = _taking(tasks.c.server.not_in(bindparam("servers", expanding=True)))


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that we drive until its lease ends, with the graph to run and what that needs."""

    task: Task
    prompt: Json
    needs: Needs


Choose = Callable[[Sequence[Waiting]], Sequence[Assignment]]
# From how many tasks each server holds to the routes to pass over, and how to choose of the rest;
# None if there is no room.
Offer = Callable[[Mapping[str, int]], tuple[Collection[str], Choose] | None]


class Queue:
    """Gets tasks for one process. `concurrency`: how many tasks API keys may have on servers at a
    time, of those that have such a limit."""

    def __init__(
        self,
        database: Database,
        lease: Lease,
        concurrency: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._database = database
        self._lease = lease
        self._concurrency = concurrency
        self._routes: dict[str, tuple[Needs, str | None]] = {}

    async def take_over(self, servers: Collection[str]) -> list[Claim]:
        """Claim what is on these servers and has no live owner: it is re-attached to."""
        values = {**self._terms(), "servers": list(servers)}
        return await self._database.write(lambda c: self._taken(c, _TAKE_OVER, values), large=True)

    async def adopt(self, *, keep_servers: Collection[str]) -> list[Claim]:
        """Claim tasks on servers that are not in `keep_servers` and that have no live owner."""
        values = {**self._terms(), "servers": list(keep_servers)}
        return await self._database.write(
            lambda c: self._taken(c, _TAKE_ORPHANS, values), large=True
        )

    async def assign(self, offer: Offer) -> tuple[list[Claim], bool]:
        """Show the head of the queue to what `offer` answers, and claim what it gives to servers.
        Keys that have all that they may have on servers are passed over. Answers the claims, and
        whether there may be more to give."""
        lease, limits = self._terms(), self._concurrency()

        def work(connection: Connection) -> tuple[list[Claim], bool]:
            if connection.dialect.name == "postgresql":  # on SQLite there is one writer anyway
                connection.execute(_ONE_AT_A_TIME)
            held = {row.server: row.held for row in connection.execute(_HELD)}
            offered = offer(held)
            if offered is None:
                return [], False
            excluded, choose = offered
            room = shares.room_of(connection, limits)
            values = {"excluded": list(excluded), "full": shares.full(room)}
            values |= {"me": lease["me"], "now": lease["now"]}
            found = connection.execute(_WAITING, values).mappings().all()
            self._learn_routes(connection, {row["route"] for row in found})
            waiting = [self._waiting(row, lease["now"]) for row in found]
            gifts = shares.within(room, choose(waiting), waiting)
            got = self._give(connection, gifts, lease)
            more = len(found) == WINDOW or len(got) < len(gifts)
            return self._claims_of(connection, got), more

        return await self._database.write(work)

    async def newest(self) -> dict[str, Needs]:
        """By server, what the last prompt needs that it got, of those that are not finished."""

        def work(connection: Connection) -> dict[str, Needs]:
            last = {row.server: row.route for row in connection.execute(_NEWEST)}
            self._learn_routes(connection, set(last.values()))
            return {server: self._routes[route][0] for server, route in last.items()}

        return await self._database.read(work)

    @property
    def routes(self) -> Mapping[str, tuple[Needs, str | None]]:
        """What routes stand for: the needs, and the server that is wanted. All that were seen."""
        return self._routes

    async def queued(self) -> list[str]:
        """The routes of what waits in the queue."""
        query = select(tasks.c.route).where(is_queued(), tasks.c.server.is_(None)).distinct()

        def work(connection: Connection) -> list[str]:
            found = list(connection.scalars(query))
            self._learn_routes(connection, found)
            return found

        return await self._database.read(work, large=True)

    def know(self, route: str, needs: Needs, wanted_server: str | None) -> None:
        """What a route stands for that was just made."""
        self._routes[route] = (needs, wanted_server)

    async def places_of(self, task_ids: Collection[str]) -> dict[str, tuple[str | None, bool]]:
        """Of those that are tasks of ours: the server that has the task, and is it finished."""
        query = select(tasks.c.task_id, tasks.c.server, tasks.c.finished_at.is_not(None)).where(
            tasks.c.task_id.in_(list(task_ids))
        )
        found = await self._database.read(lambda connection: connection.execute(query).all())
        return {task_id: (server, bool(finished)) for task_id, server, finished in found}

    async def owners(self) -> list[str]:
        query = select(tasks.c.owner).where(is_active(), tasks.c.owner.is_not(None)).distinct()
        return await self._database.read(
            lambda connection: list(connection.scalars(query)), large=True
        )

    # -- plumbing -------------------------------------------------------------------------------

    def _terms(self) -> dict[str, Any]:
        return {"me": self._lease.owner, "now": time.time(), "until": self._lease.until()}

    def _learn_routes(self, connection: Connection, wanted: Collection[str]) -> None:
        if missing := [route for route in wanted if route not in self._routes]:
            for row in connection.execute(_ROUTES, {"wanted": missing}).mappings():
                self._routes[row["route"]] = (Needs.load(row["needs"]), row["wanted_server"])

    def _waiting(self, row: RowMapping, now: float) -> Waiting:
        needs, wanted = self._routes[row["route"]]
        return Waiting(
            seq=row["seq"],
            route=row["route"],
            needs=needs,
            wanted_server=wanted,
            shape=row["shape"],
            priority=row["priority"],
            waited=now - row["created_at"],
            key_name=row["key_name"],
        )

    def _give(
        self, connection: Connection, gifts: Collection[Assignment], lease: Mapping[str, Any]
    ) -> list[Task]:
        """Claim them, in the order of the queue; what was canceled meanwhile is left out. What
        waits has no results yet."""
        by_server: dict[str, list[int]] = {}
        for gift in gifts:
            by_server.setdefault(gift.server, []).append(gift.seq)
        got: dict[int, Task] = {}
        for server, seqs in by_server.items():
            values = {**lease, "to_server": server, "seqs": seqs}
            for row in connection.execute(_GIVE, values).mappings():
                got[row["seq"]] = task_of(row)
        return [got[gift.seq] for gift in gifts if gift.seq in got]

    def _taken(self, connection: Connection, taking: Any, values: Json) -> list[Claim]:
        seqs = list(connection.scalars(taking, values))
        found = fetch(connection, _CLAIMED, {"seqs": seqs}) if seqs else []
        return self._claims_of(connection, found)

    def _claims_of(self, connection: Connection, found: Sequence[Task]) -> list[Claim]:
        if not found:
            return []
        ids = {"task_ids": [task.task_id for task in found]}
        texts = {row.task_id: row.prompt for row in connection.execute(_PROMPTS, ids)}
        self._learn_routes(connection, {task.route for task in found})
        return [
            Claim(task, json.loads(texts[task.task_id]), self._routes[task.route][0])
            for task in found
        ]
