"""Tasks for everybody: add, read, list, ask to cancel, delete. See claims.py for runners."""

import json
import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, case, delete, insert, select, update

from app.tasks import rows, webhooks
from app.tasks.database import Database
from app.tasks.model import TERMINAL, CancelReason, NewTask, Output, Status, Task
from app.tasks.queries import TASKS, fetch, fetch_one, is_active, no_task
from app.tasks.tables import outputs, prompts, tasks

Json = dict[str, Any]


class TaskStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, task: NewTask) -> Task:
        def work(connection: Connection) -> Task:
            prompt = rows.dump(task.prompt)
            connection.execute(insert(prompts).values(task_id=task.task_id, prompt=prompt))
            connection.execute(insert(tasks).values(rows.new_row(task, time.time())))
            webhooks.keep(connection, task.task_id, task.webhooks)
            return fetch_one(connection, task.task_id)

        return await self._database.write(work)

    async def get(self, task_id: str) -> Task:
        """Raises TaskNotFound."""
        return await self._database.read(lambda connection: fetch_one(connection, task_id))

    async def prompt(self, task_id: str) -> Json:
        """The graph as it was queued. Raises TaskNotFound."""
        query = select(prompts.c.prompt).where(prompts.c.task_id == task_id)
        text = await self._database.read(lambda connection: connection.scalar(query))
        if text is None:
            raise no_task(task_id)
        return dict(json.loads(text))

    async def webhook(self, task_id: str) -> webhooks.Webhook | None:
        """The webhook that it was submitted with."""
        return await self._database.read(lambda connection: webhooks.own(connection, task_id))

    async def page(
        self,
        *,
        statuses: Collection[Status] = (),
        limit: int = 50,
        before: int | None = None,
    ) -> list[Task]:
        """Newest first; `before` is the seq to go on from."""
        query = TASKS.order_by(tasks.c.seq.desc()).limit(limit)
        if statuses:
            query = query.where(tasks.c.status.in_(list(statuses)))
        if before is not None:
            query = query.where(tasks.c.seq < before)
        return await self._database.read(lambda connection: fetch(connection, query))

    async def queue(self, *, limit: int = 1000) -> list[Task]:
        """What is not finished, in the order in which it will run."""
        query = (
            TASKS.where(is_active())
            .order_by(tasks.c.status == Status.QUEUED, tasks.c.priority.desc(), tasks.c.seq)
            .limit(limit)
        )
        return await self._database.read(lambda connection: fetch(connection, query))

    async def ids_of(self, task_ids: Collection[str]) -> set[str]:
        """Those of the ids that are tasks of ours."""
        query = select(tasks.c.task_id).where(tasks.c.task_id.in_(list(task_ids)))
        return await self._database.read(lambda connection: set(connection.scalars(query)))

    async def request_cancel(
        self, task_id: str, reason: CancelReason = CancelReason.REQUEST
    ) -> Task:
        """QUEUED and on no server: CANCELED at once. Else CANCELING. Finished: as it is."""
        untouched = and_(
            tasks.c.status == Status.QUEUED,
            tasks.c.owner.is_(None),
            tasks.c.submitted_at.is_(None),
        )
        change = (
            update(tasks)
            .where(tasks.c.task_id == task_id, tasks.c.status.in_(["queued", "running"]))
            .values(
                status=case((untouched, Status.CANCELED), else_=Status.CANCELING),
                finished_at=case((untouched, time.time()), else_=None),
                cancel_reason=reason,
            )
        )

        def work(connection: Connection) -> Task:
            connection.execute(change)
            return fetch_one(connection, task_id)

        return await self._database.write(work)

    async def delete(self, task_ids: Collection[str] | None) -> list[str]:
        """Remove finished tasks, all or those of the ids; answers the ids removed."""
        condition: ColumnElement[bool] = tasks.c.status.in_(list(TERMINAL))
        if task_ids is not None:
            condition = and_(condition, tasks.c.task_id.in_(list(task_ids)))

        def work(connection: Connection) -> list[str]:
            deletion = delete(tasks).where(condition).returning(tasks.c.task_id)
            removed = list(connection.scalars(deletion))
            for table in (outputs, prompts):
                connection.execute(delete(table).where(table.c.task_id.in_(removed)))
            return removed

        return await self._database.write(work)

    async def find_output(
        self,
        filename: str,
        *,
        task_id: str | None = None,
        subfolder: str | None = None,
        type: str | None = None,
    ) -> Output | None:
        """The newest stored result of that name."""
        query = select(outputs).where(outputs.c.filename == filename, outputs.c.key.is_not(None))
        for column, value in (
            (outputs.c.task_id, task_id),
            (outputs.c.subfolder, subfolder),
            (outputs.c.type, type),
        ):
            if value is not None:
                query = query.where(column == value)
        newest = query.order_by(outputs.c.id.desc()).limit(1)
        row = await self._database.read(
            lambda connection: connection.execute(newest).mappings().first()
        )
        return rows.output_of(row) if row else None
