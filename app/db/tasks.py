"""Repository of tasks: add, read, list, request a cancel, delete. See claims.py for runners."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace

from sqlalchemy import (
    ColumnElement,
    Connection,
    func,
    select,
    true,
)
from sqlalchemy.exc import IntegrityError

from app.auth.model import Caller
from app.db import idempotency, mapping, native, new_tasks, prompts, quotas
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
from app.db.queue_end import QueueEnd, Reading
from app.db.tables import tasks
from app.db.task_filters import Selection, counted
from app.db.task_time import task_time
from app.errors import InvalidInput
from app.limits.json_types import Json
from app.servers.queues import prompt_id_in_use
from app.tasks.model import CancelReason, NewTask, Output, Status, Task

ALL = Selection()


@dataclass(frozen=True, slots=True)
class TaskTable:
    """The storage of tasks, to be accessed through a `TaskRepository`, which has a caller.

    `max_queued`: limit of queued tasks; `lease`: of this process, the only one that may drive tasks
    with paid node keys.
    """

    database: Database
    max_queued: int = 10_000
    lease: Lease | None = None
    end: QueueEnd = field(default_factory=QueueEnd)


class TaskRepository:
    """The tasks that `caller` may see; others do not exist for it."""

    __slots__ = ("_caller", "_database", "_table")

    def __init__(self, table: TaskTable, caller: Caller) -> None:
        self._table = table
        self._database = table.database
        self._caller = caller

    async def add(self, new: Sequence[NewTask], key: IdempotencyKey | None = None) -> list[Task]:
        """Queue tasks of one priority, all or none; with a key that was used, return its tasks.

        Raises QueueFull, QuotaExceeded, and KeyReused if the key came with another body.
        """
        if len(new) > self._table.max_queued:
            raise InvalidInput(
                f"batch: it makes {len(new)} tasks, and {self._table.max_queued} may wait.",
                hint="Send it in parts. The limit is the setting COMFYUI_MAX_QUEUED.",
            )

        key, end = self._own(key), self._table.end

        def work(connection: Connection) -> tuple[list[Task], Reading]:
            found = end.read(connection)
            if key is not None and not idempotency.take(connection, key, new[0].task_id):
                return idempotency.tasks_of(connection, key), found
            quotas.count_daily(connection, self._caller, len(new))
            now, most = task_time(), self._table.max_queued
            rows = [self._row(task, now) for task in new]
            position, waiting = found.position(rows[0]["rank"])
            quotas.check_queue_limit(connection, self._caller, most, len(new), waiting)
            found.hold(task.requirements for task in new)
            notify(connection, Topic.WORK)
            added = new_tasks.write(connection, new, rows, position)
            found.leave(added)
            return added, found

        try:
            added, left = await self._database.write(work, large=len(new) > FEW_ROWS)
        except IntegrityError as error:
            if await self._database.read(lambda c: bulk.ends(c, None, [new[0].task_id])):
                raise prompt_id_in_use() from error
            raise
        end.remember(left)
        return added

    def _row(self, task: NewTask, now: float) -> Json:
        lease = self._table.lease if task.secrets else None
        return {
            **mapping.new_row(task, now),
            "owner": lease.runner_id if lease else None,
            "lease_until": lease.until() if lease else None,
        }

    async def answered(self, key: IdempotencyKey | None) -> list[Task] | None:
        """Return the tasks created with the key, None if it is new. Raises KeyReused."""
        key = self._own(key)

        def work(connection: Connection) -> list[Task] | None:
            if key is None or not idempotency.is_known(connection, key):
                return None
            return idempotency.tasks_of(connection, key)

        return await self._database.read(work)

    async def get(self, task_id: str) -> Task:
        """Return the whole task. Raises TaskNotFound."""
        return await self._database.read(lambda c: whole(c, self._one(c, task_id)))

    async def several(self, task_ids: Collection[str]) -> list[Task]:
        """Return the existing ones of these tasks, as shown in lists."""
        mine, large = self._mine(found=True), len(task_ids) > FEW_ROWS
        return await self._database.read(lambda c: bulk.several(c, mine, task_ids), large=large)

    async def prompt(self, task_id: str) -> Json:
        """Return the graph to run. Raises TaskNotFound."""
        return prompts.whole(await self.prompt_parts(task_id))

    async def prompt_parts(self, task_id: str) -> PromptParts:
        """Return the stored parts of the prompt. Raises TaskNotFound."""

        owner = self._caller.visible_owner

        def work(connection: Connection) -> PromptParts:
            if not bulk.ends(connection, owner, [task_id]):
                raise no_task(task_id)
            return prompts.parts(connection, [task_id])[task_id]

        return await self._database.read(work)

    async def beside(self, task_id: str) -> native.Beside:
        """Return what a task's submit had; for a task that the caller has already read."""
        return await self._database.read(lambda connection: native.beside(connection, task_id))

    async def page(
        self, selection: Selection = ALL, *, limit: int = 50, before: int | None = None
    ) -> list[Task]:
        """Return tasks newest first; `before` is the seq at which the page starts."""
        conditions = [self._mine(), *selection.conditions()]
        if before is not None:
            conditions.append(tasks.c.seq < before)
        query = TASKS.where(*conditions).order_by(tasks.c.seq.desc()).limit(limit)
        return await self._database.read(
            lambda c: fetch(c, query, brief=selection.labels is None), large=True
        )

    async def total(self, selection: Selection) -> int:
        """Return the number of matching tasks, at most `MAX_COUNTED_TASKS` + 1."""
        query = counted([self._mine(), *selection.conditions()])
        return await self._database.read(lambda c: c.scalar(query) or 0, large=True)

    async def queue(self, *, limit: int = 1000) -> list[Task]:
        """Return the unfinished tasks in the order in which they will run."""
        query = (
            TASKS.where(is_active(), self._mine(found=True))
            .order_by(tasks.c.status == Status.QUEUED, tasks.c.rank, tasks.c.seq)
            .limit(limit)
        )
        return await self._database.read(lambda c: fetch(c, query, brief=True), large=True)

    async def waiting(self, *, limit: int) -> list[Task]:
        """Return the next tasks in queue order."""
        query = (
            TASKS.where(is_queued(), self._mine(found=True))
            .order_by(tasks.c.rank, tasks.c.seq)
            .limit(limit)
        )
        return await self._database.read(lambda c: fetch(c, query, brief=True), large=True)

    async def counts(self, batch_id: str) -> dict[Status, int]:
        """Return the number of tasks of a batch by state; empty if there is no such batch."""
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
        """Return the ids of unfinished tasks of a batch, or of all queued tasks."""
        query = select(tasks.c.task_id).where(self._mine(found=True)).order_by(tasks.c.seq)
        if batch_id is None:
            query = query.where(is_queued())
        else:
            query = query.where(tasks.c.batch_id == batch_id, is_active())
        return await self._database.read(
            lambda connection: list(connection.scalars(query)), large=True
        )

    async def ends(self, task_ids: Iterable[str]) -> dict[str, bool]:
        """Return, for ids of existing tasks, whether they are finished."""
        owner, ids = self._caller.visible_owner, list(task_ids)
        return await self._database.read(
            lambda c: bulk.ends(c, owner, ids), large=len(ids) > FEW_ROWS
        )

    async def ids_of(self, task_ids: Iterable[str]) -> set[str]:
        """Return those of the ids that belong to existing tasks."""
        return set(await self.ends(task_ids))

    async def request_cancel(
        self, task_id: str, reason: CancelReason = CancelReason.REQUEST
    ) -> Task:
        """Cancel a task: CANCELED at once if it is on no server, else CANCELING.

        A finished task is returned unchanged. Raises TaskNotFound.
        """

        def work(connection: Connection) -> Task:
            bulk.cancel(connection, self._mine(found=True), [task_id], reason)
            return whole(connection, self._one(connection, task_id))

        return await self._database.write(work)

    async def request_cancels(self, task_ids: Sequence[str]) -> list[Task]:
        """Cancel the existing ones of these tasks, like `request_cancel`."""

        mine = self._mine(found=True)

        def work(connection: Connection) -> list[Task]:
            bulk.cancel(connection, mine, task_ids, CancelReason.REQUEST)
            return bulk.several(connection, mine, task_ids)

        return await self._database.write(work, large=True)

    async def newest(self) -> int:
        """Return the highest seq; 0 without tasks."""
        return await self._database.read(lambda c: c.scalar(select(func.max(tasks.c.seq))) or 0)

    async def finished(self, after: int, until: int) -> tuple[list[str], int]:
        """Return ids of some finished tasks with a seq in (after, until], and where to continue."""
        mine = self._mine()
        return await self._database.read(lambda c: bulk.finished(c, mine, after, until), large=True)

    async def delete(self, task_ids: Sequence[str]) -> list[str]:
        """Delete the finished ones of these tasks; return their ids."""
        mine, large = self._mine(found=True), len(task_ids) > 1
        return await self._database.write(lambda c: bulk.delete(c, mine, task_ids), large=large)

    async def find_output(
        self, filename: str, *, own: bool = False, **about: str | None
    ) -> Output | None:
        """Return the newest stored result of that name.

        `about`: task_id, subfolder, type or node_id, if given; `own`: only of tasks that the
        caller's key created, whatever else it may see.
        """
        given = {"filename": filename}
        given |= {name: value for name, value in about.items() if value is not None}
        owner = self._caller.visible_owner
        if own and self._caller.name is not None:
            owner = self._caller.name
        query = newest_result(*given, of_owner=owner is not None)
        if owner is not None:
            given["owner"] = owner
        found = await self._database.read(lambda connection: query.rows(connection, given))
        return mapping.output_of(found[0]._asdict()) if found else None

    async def owner_of(self, task_id: str) -> tuple[str | None, float | None]:
        """Return the API key that created the task and the creation time; None for unknown ones."""
        query = select(tasks.c.key_name, tasks.c.created_at).where(tasks.c.task_id == task_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        return (row.key_name, row.created_at) if row else (None, None)

    def _mine(self, *, found: bool = False) -> ColumnElement[bool]:
        """Return the condition for tasks that the caller may see.

        `found`: the query finds tasks by id or in the queue, so that the index by key is not used.
        """
        if self._caller.is_unrestricted:
            return true()
        column: ColumnElement[str] = FOUND_KEY_NAME if found else tasks.c.key_name
        return column == self._caller.visible_owner

    def _one(self, connection: Connection, task_id: str) -> Task:
        """Return a task that the caller may see. Raises TaskNotFound."""
        task = fetch_one(connection, task_id)
        if not self._caller.is_unrestricted and task.owner != self._caller.visible_owner:
            raise no_task(task_id)
        return task

    def _own(self, key: IdempotencyKey | None) -> IdempotencyKey | None:
        return key and replace(key, owner=self._caller.name or "")
