"""SQL of webhooks: deliveries are created for events, claimed, recorded and listed."""

import json
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any
from uuid import uuid4

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    and_,
    bindparam,
    insert,
    or_,
    select,
    true,
    update,
)

from app.auth.model import Caller
from app.db.engine.database import FEW_ROWS, Database
from app.db.engine.list_parameters import any_of
from app.db.queries import fetch_one, in_states, no_task
from app.db.tables import tasks
from app.db.webhook_tables import deliveries, webhooks
from app.db.webhooks import is_open, is_pending, webhook_of
from app.errors import DeliveryNotFound
from app.limits.json_types import Json
from app.tasks.model import TERMINAL, Task
from app.tasks.task_json import TaskJson
from app.tasks.view import task_below, task_view
from app.tasks.webhook import STARTED
from app.webhooks.delivery_json import DeliveryAttemptJson, DeliveryJson
from app.webhooks.fair_share import Busy
from app.webhooks.lanes import DUE_LANES, OPEN_LANES, TAKE_DUE
from app.webhooks.model import FINAL_EVENTS, KEPT_TRIES, Delivery, body_of, delivery_view
from app.webhooks.retries import DeliveryStatus, RetryStep

MAX_BATCH_WEBHOOKS = 100  # webhooks per transaction
NOBODY = Busy()

_IS_PENDING = is_pending()
_HAS_NEWS = or_(
    in_states(TERMINAL),
    and_(webhooks.c.start_wanted, tasks.c.started_at.is_not(None)),
)
_NEWS = (
    select(webhooks)
    .join(tasks, tasks.c.task_id == webhooks.c.task_id)
    .where(is_open(), _HAS_NEWS)
    .order_by(webhooks.c.id)
    .limit(bindparam("most"))
)
_NEWS_OF = _NEWS.where(any_of(webhooks.c.task_id, "ids"))
_NEWS_OF_LANE = _NEWS.where(webhooks.c.lane == bindparam("lane"))
_JOINED = select(
    deliveries,
    *(webhooks.c[name] for name in ("shown", "url", "headers", "secret", "events", "scope")),
).join(webhooks, webhooks.c.id == deliveries.c.webhook)
_ONE = _JOINED.where(deliveries.c.delivery_id == bindparam("id"))


class Outbox:
    """The deliveries of one process (`runner_id`). `view` returns a task as JSON, as in polls;
    `base_path` comes before the paths of its URLs."""

    def __init__(
        self,
        database: Database,
        runner_id: str,
        lease_seconds: float,
        view: Callable[[Task], TaskJson] = task_view,
        base_path: str = "",
    ) -> None:
        self._database = database
        self._runner_id = runner_id
        self._lease_seconds = lease_seconds
        self._view = lambda task: task_below(view(task), base_path)

    async def announce(self, task_ids: Collection[str] | None = None) -> int:
        """Create deliveries for events of these tasks, or of any (an equal number per lane).

        Return the number of webhooks with events; MAX_BATCH_WEBHOOKS or more means that there may
        be more. A webhook is closed in the transaction that writes its last delivery, so after a
        crash it is either open, and found again, or its delivery exists.
        """
        ids = None if task_ids is None else list(task_ids)

        def look(connection: Connection) -> bool:
            parts = _parts(connection, ids)
            return any(connection.execute(query, values).first() for query, values in parts)

        def work(connection: Connection) -> int:
            number, may_be_more = 0, False
            for query, values in _parts(connection, ids):
                # Rows locked by another process are skipped, so that no event is announced twice.
                locking = query.with_for_update(of=webhooks, skip_locked=True)
                found = connection.execute(locking, values).mappings().all()
                for row in found:
                    _announce(connection, row, self._view)
                number += len(found)
                may_be_more = may_be_more or len(found) == values["most"]
            return max(number, MAX_BATCH_WEBHOOKS) if may_be_more else number

        # Read first: on SQLite a write waits for its turn, and mostly there is nothing to write.
        large = task_ids is None or len(task_ids) > FEW_ROWS
        if not await self._database.read(look, large=large):
            return 0
        return await self._database.write(work, large=True)

    async def lanes(self) -> dict[str, float]:
        """Return when the first delivery of each lane is due."""

        def work(connection: Connection) -> dict[str, float]:
            return {row.lane: row.at for row in connection.execute(DUE_LANES)}

        return await self._database.read(work)

    async def claim(
        self, lane: str = "", busy: Busy = NOBODY, *, large: bool = False
    ) -> Delivery | None:
        """Claim the longest due delivery of a lane to a host that is not busy, until `record` or
        the end of the lease. `large`: the query is expected to be slow."""
        now = time.time()
        values = {
            "me": self._runner_id,
            "now": now,
            "until": now + self._lease_seconds,
            "of_lane": lane,
            "hosts": busy.hosts,
            "addresses": busy.addresses,
        }

        def work(connection: Connection) -> Delivery | None:
            found = connection.scalar(TAKE_DUE, values)
            if found is None:
                return None
            return _delivery(connection.execute(_ONE, {"id": found}).mappings().one())

        return await self._database.write(work, large=large)

    async def record(
        self, delivery: Delivery, attempt: DeliveryAttemptJson, step: RetryStep
    ) -> bool:
        """Write the result of an attempt; return False if the claim was lost."""
        log = [*delivery.log, attempt][-KEPT_TRIES:]
        now = time.time()
        statement = (
            update(deliveries)
            .where(deliveries.c.delivery_id == delivery.delivery_id)
            .where(deliveries.c.owner == self._runner_id, _IS_PENDING)
            .values(
                status=step.status,
                tries=delivery.tries + 1,
                log=json.dumps(log),
                next_at=None if step.wait is None else now + step.wait,
                finished_at=now if step.wait is None else None,
                owner=None,
            )
        )
        return await self._database.write(lambda c: c.execute(statement).rowcount == 1)

    async def hand_back(self, runner_id: str | None = None) -> None:
        """Release the claims of this process or of a dead one: the deliveries are due at once."""
        statement = (
            update(deliveries)
            .where(deliveries.c.owner == (runner_id or self._runner_id), _IS_PENDING)
            .values(owner=None, next_at=time.time())
        )
        await self._database.write(lambda connection: connection.execute(statement))

    async def runner_ids(self) -> list[str]:
        query = select(deliveries.c.owner).where(_IS_PENDING, deliveries.c.owner.is_not(None))
        return await self._database.read(lambda c: list(c.scalars(query.distinct())), large=True)

    # -- for the API ----------------------------------------------------------------------------

    async def of_task(self, caller: Caller, task_id: str) -> list[DeliveryJson]:
        """Return the deliveries of a task, oldest first. Raises TaskNotFound, also for other
        owners."""
        query = _JOINED.where(deliveries.c.task_id == task_id).order_by(deliveries.c.seq)

        def work(connection: Connection) -> list[DeliveryJson]:
            task = fetch_one(connection, task_id)
            if not caller.is_unrestricted and task.owner != caller.visible_owner:
                raise no_task(task_id)
            return [delivery_view(row) for row in connection.execute(query).mappings()]

        return await self._database.read(work, large=True)

    async def page(
        self,
        caller: Caller,
        statuses: Sequence[DeliveryStatus],
        limit: int,
        before: int | None,
    ) -> tuple[list[DeliveryJson], int | None]:
        """Return the deliveries visible to the caller, newest first, and the start of the next
        page."""
        query = _JOINED.where(_mine(caller)).order_by(deliveries.c.seq.desc()).limit(limit + 1)
        if statuses:
            query = query.where(deliveries.c.status.in_([str(status) for status in statuses]))
        if before is not None:
            query = query.where(deliveries.c.seq < before)

        def work(connection: Connection) -> tuple[list[DeliveryJson], int | None]:
            found = connection.execute(query).mappings().all()
            following = found[limit - 1]["seq"] if len(found) > limit else None
            return [delivery_view(row) for row in found[:limit]], following

        return await self._database.read(work, large=True)

    async def replay(self, caller: Caller, delivery_id: str) -> DeliveryJson:
        """Make a delivery due now, under the same id, keeping its log.

        A delivery in progress is not changed. Raises DeliveryNotFound.
        """
        now = time.time()
        statement = (
            update(deliveries)
            .where(deliveries.c.delivery_id == delivery_id, _mine(caller))
            .where(or_(deliveries.c.owner.is_(None), deliveries.c.next_at < now))
            .values(status="pending", tries=0, next_at=now, finished_at=None, owner=None)
        )

        def work(connection: Connection) -> DeliveryJson:
            connection.execute(statement)
            ours = _ONE.where(_mine(caller))
            row = connection.execute(ours, {"id": delivery_id}).mappings().first()
            if row is None:
                raise DeliveryNotFound(
                    f"There is no delivery {delivery_id[:80]!r}.",
                    hint="GET /api/deliveries lists them.",
                )
            return delivery_view(row)

        return await self._database.write(work)


def _mine(caller: Caller) -> ColumnElement[bool]:
    """Return the condition for deliveries that the caller may see."""
    if caller.is_unrestricted:
        return true()
    mine = select(tasks.c.task_id).where(tasks.c.key_name == caller.visible_owner)
    return deliveries.c.task_id.in_(mine)


def _parts(connection: Connection, ids: list[str] | None) -> list[tuple[Select[Any], Json]]:
    """Return queries for open webhooks with events: of these tasks, or the same number per lane."""
    if ids is not None:
        return [(_NEWS_OF, {"ids": ids, "most": MAX_BATCH_WEBHOOKS})]
    lanes = [row.lane for row in connection.execute(OPEN_LANES)]
    share = max(MAX_BATCH_WEBHOOKS // max(len(lanes), 1), 1)
    return [(_NEWS_OF_LANE, {"lane": lane, "most": share}) for lane in lanes]


def _announce(connection: Connection, row: Any, view: Callable[[Task], TaskJson]) -> None:
    task = fetch_one(connection, row["task_id"])
    wanted = json.loads(row["events"])
    events: list[tuple[str, float | None]] = []
    if row["start_wanted"] and task.started_at is not None:
        events.append((STARTED, task.started_at))
    if (final := FINAL_EVENTS.get(task.status)) in wanted and final:
        events.append((final, task.finished_at))
    for event, at in events:
        _add(connection, row, event, body_of(event, at, view(task)))
    connection.execute(
        update(webhooks)
        .where(webhooks.c.id == row["id"])
        .values(
            state="closed" if task.finished else "open",
            start_wanted=row["start_wanted"] and task.started_at is None,
        )
    )


def _add(connection: Connection, row: Any, event: str, body: str) -> None:
    now = time.time()
    connection.execute(
        insert(deliveries).values(
            delivery_id=f"msg_{uuid4().hex}",
            task_id=row["task_id"],
            webhook=row["id"],
            event=event,
            host=row["host"],
            place=row["place"],
            lane=row["lane"],
            body=body,
            status="pending",
            tries=0,
            log="[]",
            created_at=now,
            next_at=now,
        )
    )


def _delivery(row: Any) -> Delivery:
    return Delivery(
        delivery_id=row["delivery_id"],
        host=row["host"],
        place=row["place"],
        body=row["body"],
        tries=row["tries"],
        log=tuple(json.loads(row["log"])),
        webhook=webhook_of(row),
    )
