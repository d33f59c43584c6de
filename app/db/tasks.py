"""Tasks for everybody: add, read, list, ask to cancel, delete. See claims.py for runners."""

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    func,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError

from app.auth.model import Caller
from app.db import idempotency, mapping, new_tasks, prompts, quotas, requirements, webhooks
from app.db.engine import bulk
from app.db.engine.database import FEW_ROWS, Database
from app.db.engine.notify import Topic, notify
from app.db.idempotency import IdempotencyKey
from app.db.lease import Lease
from app.db.prompts import PromptParts
from app.db.queries import (
    FOUND_KEY_NAME,
    TASKS,
    fetch,
    fetch_one,
    is_active,
    is_queued,
    newest_result,
    no_task,
    whole,
)
from app.db.tables import outputs, tasks
from app.db.task_filters import Selection, counted
from app.errors import InvalidInput
from app.limits.json_types import Json
from app.servers.queues import prompt_id_in_use
from app.tasks.model import CancelReason, NewTask, Output, Status, Task
from app.tasks.webhook import Webhook

ALL = Selection()


@dataclass(frozen=True, slots=True)
class TaskTable:
    """Where tasks are stored. Only a `TaskRepository` reads them, which has a caller.

    `max_queued`: tasks that may wait; `lease`: of this process, which alone may drive tasks that
    come with a key of a paid service.
    """

    database: Database
    max_queued: int = 10_000
    lease: Lease | None = None


class TaskRepository:
    """The tasks that `caller` may see; all others do not exist for it."""

    __slots__ = ("_caller", "_database", "_table")

    def __init__(self, table: TaskTable, caller: Caller) -> None:
        self._table = table
        self._database = table.database
        self._caller = caller

    async def add(self, new: Sequence[NewTask], key: IdempotencyKey | None = None) -> list[Task]:
        """Queue these tasks, all or none; with a key that was used already, the tasks of then.

        Raises QueueFull, QuotaExceeded, and KeyReused if the key came with another body.
        """
        if len(new) > self._table.max_queued:
            raise InvalidInput(
                f"batch: it makes {len(new)} tasks, and {self._table.max_queued} may wait.",
                hint="Send it in parts. The limit is the setting COMFYUI_MAX_QUEUED.",
            )

        key = self._own(key)

        def work(connection: Connection) -> list[Task]:
            if key is not None and not idempotency.take(connection, key, new[0].task_id):
                return idempotency.tasks_of(connection, key)
            quotas.count_daily(connection, self._caller, len(new))
            quotas.check_queue_limit(connection, self._caller, self._table.max_queued, len(new))
            requirements.write(connection, new)
            now = time.time()
            notify(connection, Topic.WORK)
            return new_tasks.write(connection, new, [self._row(task, now) for task in new])

        try:
            return await self._database.write(work, large=len(new) > FEW_ROWS)
        except IntegrityError as error:
            if await self._database.read(lambda c: bulk.ends(c, true(), [new[0].task_id])):
                raise prompt_id_in_use() from error
            raise

    def _row(self, task: NewTask, now: float) -> Json:
        lease = self._table.lease if task.secrets else None
        return {
            **mapping.new_row(task, now),
            "owner": lease.runner_id if lease else None,
            "lease_until": lease.until() if lease else None,
        }

    async def answered(self, key: IdempotencyKey | None) -> list[Task] | None:
        """The tasks that the key has made, None if it is new. Raises KeyReused."""
        key = self._own(key)

        def work(connection: Connection) -> list[Task] | None:
            if key is None or not idempotency.is_known(connection, key):
                return None
            return idempotency.tasks_of(connection, key)

        return await self._database.read(work)

    async def get(self, task_id: str) -> Task:
        """All of it. Raises TaskNotFound."""
        return await self._database.read(lambda c: whole(c, self._one(c, task_id)))

    async def several(self, task_ids: Collection[str]) -> list[Task]:
        """Those of these tasks that there are, as lists show them."""
        mine, large = self._mine(found=True), len(task_ids) > FEW_ROWS
        return await self._database.read(lambda c: bulk.several(c, mine, task_ids), large=large)

    async def prompt(self, task_id: str) -> Json:
        """The graph to run. Raises TaskNotFound."""
        return prompts.whole(await self.prompt_parts(task_id))

    async def prompt_parts(self, task_id: str) -> PromptParts:
        """The same as it is stored. Raises TaskNotFound."""

        mine = self._mine(found=True)

        def work(connection: Connection) -> PromptParts:
            if not bulk.ends(connection, mine, [task_id]):
                raise no_task(task_id)
            return prompts.parts(connection, [task_id])[task_id]

        return await self._database.read(work)

    async def webhook(self, task_id: str) -> Webhook | None:
        """The webhook that a task was submitted with that the caller has got."""
        return await self._database.read(lambda connection: webhooks.own(connection, task_id))

    async def page(
        self, selection: Selection = ALL, *, limit: int = 50, before: int | None = None
    ) -> list[Task]:
        """Newest first; `before` is the seq to go on from."""
        conditions = [self._mine(), *selection.conditions()]
        if before is not None:
            conditions.append(tasks.c.seq < before)
        query = TASKS.where(*conditions).order_by(tasks.c.seq.desc()).limit(limit)
        return await self._database.read(
            lambda c: fetch(c, query, brief=selection.labels is None), large=True
        )

    async def total(self, selection: Selection) -> int:
        """How many tasks there are of it; one more than `MAX_COUNTED_TASKS` if there are more."""
        query = counted([self._mine(), *selection.conditions()])
        return await self._database.read(lambda c: c.scalar(query) or 0, large=True)

    async def queue(self, *, limit: int = 1000) -> list[Task]:
        """What is not finished, in the order in which it will run."""
        query = (
            TASKS.where(is_active(), self._mine(found=True))
            .order_by(tasks.c.status == Status.QUEUED, tasks.c.rank, tasks.c.seq)
            .limit(limit)
        )
        return await self._database.read(lambda c: fetch(c, query, brief=True), large=True)

    async def waiting(self, *, limit: int) -> list[Task]:
        """Those that are next, in the order of the queue."""
        query = (
            TASKS.where(is_queued(), self._mine(found=True))
            .order_by(tasks.c.rank, tasks.c.seq)
            .limit(limit)
        )
        return await self._database.read(lambda c: fetch(c, query, brief=True), large=True)

    async def counts(self, batch_id: str) -> dict[Status, int]:
        """How many tasks of a batch are in which state; empty if there is no such batch."""
        query = (
            select(tasks.c.status, func.count())
            .where(tasks.c.batch_id == batch_id, self._mine())
            .group_by(tasks.c.status)
        )
        found = await self._database.read(
            lambda connection: connection.execute(query).all(), large=True
        )
        return {Status(status): number for status, number in found}

    async def unfinished(self, batch_id: str | None = None) -> list[str]:
        """The ids of what is not finished: of a batch, or of all that only waits."""
        query = select(tasks.c.task_id).where(self._mine(found=True)).order_by(tasks.c.seq)
        if batch_id is None:
            query = query.where(is_queued())
        else:
            query = query.where(tasks.c.batch_id == batch_id, is_active())
        return await self._database.read(
            lambda connection: list(connection.scalars(query)), large=True
        )

    async def ends(self, task_ids: Iterable[str]) -> dict[str, bool]:
        """Of those of the ids that are tasks of ours: are they finished?"""
        mine, ids = self._mine(found=True), list(task_ids)
        return await self._database.read(
            lambda c: bulk.ends(c, mine, ids), large=len(ids) > FEW_ROWS
        )

    async def ids_of(self, task_ids: Iterable[str]) -> set[str]:
        """Those of the ids that are tasks of ours."""
        return set(await self.ends(task_ids))

    async def request_cancel(
        self, task_id: str, reason: CancelReason = CancelReason.REQUEST
    ) -> Task:
        """QUEUED and on no server: CANCELED at once. Else CANCELING. Finished: as it is. Raises
        TaskNotFound."""

        def work(connection: Connection) -> Task:
            bulk.cancel(connection, self._mine(found=True), [task_id], reason)
            return whole(connection, self._one(connection, task_id))

        return await self._database.write(work)

    async def request_cancels(self, task_ids: Sequence[str]) -> list[Task]:
        """The same with those of these tasks that there are."""

        mine = self._mine(found=True)

        def work(connection: Connection) -> list[Task]:
            bulk.cancel(connection, mine, task_ids, CancelReason.REQUEST)
            return bulk.several(connection, mine, task_ids)

        return await self._database.write(work, large=True)

    async def newest(self) -> int:
        """The seq of the task that came last; 0 if there is none."""
        return await self._database.read(lambda c: c.scalar(select(func.max(tasks.c.seq))) or 0)

    async def finished(self, after: int, until: int) -> tuple[list[str], int]:
        """The ids of some finished tasks whose seq is beyond `after`, up to `until`, and the seq to
        go on from; none when there are no more."""
        mine = self._mine()
        return await self._database.read(lambda c: bulk.finished(c, mine, after, until), large=True)

    async def delete(self, task_ids: Sequence[str]) -> list[str]:
        """Remove those of the tasks that are finished; answers their ids."""
        mine, large = self._mine(found=True), len(task_ids) > 1
        return await self._database.write(lambda c: bulk.delete(c, mine, task_ids), large=large)

    async def find_output(
        self, filename: str, *, own: bool = False, **about: str | None
    ) -> Output | None:
        """The newest stored result of that name. `about`: its task_id, subfolder, type or node_id,
        if they matter; `own`: of tasks that the caller made, whatever else it may see."""
        given = {"filename": filename}
        given |= {name: value for name, value in about.items() if value is not None}
        query = newest_result(*given)
        of_task = query.join(tasks, tasks.c.task_id == outputs.c.task_id)
        if own and self._caller.name is not None:
            query = of_task.where(tasks.c.key_name == self._caller.name)
        elif not self._caller.is_unrestricted:
            query = of_task.where(self._mine())
        row = await self._database.read(
            lambda connection: connection.execute(query, given).mappings().first()
        )
        return mapping.output_of(row) if row else None

    async def owner_of(self, task_id: str) -> tuple[str | None, float | None]:
        """The name of the API key whose it is, None if it is nobody's; and when it was made, None
        if it is not there."""
        query = select(tasks.c.key_name, tasks.c.created_at).where(tasks.c.task_id == task_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return (row.key_name, row.created_at) if row else (None, None)

    def _mine(self, *, found: bool = False) -> ColumnElement[bool]:
        """What the caller may see, of all tasks, or of those that are `found` by something else:
        by their ids, or in the queue."""
        if self._caller.is_unrestricted:
            return true()
        column: ColumnElement[str] = FOUND_KEY_NAME if found else tasks.c.key_name
        return column == self._caller.visible_owner

    def _one(self, connection: Connection, task_id: str) -> Task:
        """Raises TaskNotFound."""
        task = fetch_one(connection, task_id)
        if not self._caller.is_unrestricted and task.owner != self._caller.visible_owner:
            raise no_task(task_id)
        return task

    def _own(self, key: IdempotencyKey | None) -> IdempotencyKey | None:
        return key and replace(key, owner=self._caller.name or "")
