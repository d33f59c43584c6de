"""Tasks for everybody: add, read, list, ask to cancel, delete. See claims.py for runners."""

import json
import time
from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, and_, case, delete, func, insert, select, update

from app.tasks import rows
from app.tasks.database import Database
from app.tasks.model import TERMINAL, CancelReason, NewTask, Output, Status, Task
from app.tasks.queries import fetch, fetch_one, is_active, no_task, select_tasks
from app.tasks.tables import outputs, prompts, tasks

Json = dict[str, Any]


class TaskStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, task: NewTask) -> Task:
        async with self._database.write() as connection:
            await connection.execute(
                insert(prompts).values(task_id=task.task_id, prompt=rows.dump(task.prompt))
            )
            await connection.execute(insert(tasks).values(rows.new_row(task, time.time())))
            return await fetch_one(connection, task.task_id)

    async def get(self, task_id: str) -> Task:
        """Raises TaskNotFound."""
        async with self._database.read() as connection:
            return await fetch_one(connection, task_id)

    async def prompt(self, task_id: str) -> Json:
        """The graph as it was queued. Raises TaskNotFound."""
        async with self._database.read() as connection:
            text = await connection.scalar(
                select(prompts.c.prompt).where(prompts.c.task_id == task_id)
            )
        if text is None:
            raise no_task(task_id)
        return dict(json.loads(text))

    async def page(
        self,
        *,
        statuses: Collection[Status] = (),
        limit: int = 50,
        before: int | None = None,
    ) -> list[Task]:
        """Newest first; `before` is the seq to go on from."""
        query = select_tasks().order_by(tasks.c.seq.desc()).limit(limit)
        if statuses:
            query = query.where(tasks.c.status.in_(list(statuses)))
        if before is not None:
            query = query.where(tasks.c.seq < before)
        async with self._database.read() as connection:
            return await fetch(connection, query)

    async def queue(self, *, limit: int = 1000) -> list[Task]:
        """What is not finished, in the order in which it will run."""
        query = (
            select_tasks()
            .where(is_active())
            .order_by(tasks.c.status == Status.QUEUED, tasks.c.priority.desc(), tasks.c.seq)
            .limit(limit)
        )
        async with self._database.read() as connection:
            return await fetch(connection, query)

    async def counts(self) -> dict[Status, int]:
        query = select(tasks.c.status, func.count()).group_by(tasks.c.status)
        async with self._database.read() as connection:
            found = {Status(status): count for status, count in await connection.execute(query)}
        return {status: found.get(status, 0) for status in Status}

    async def ids_of(self, task_ids: Collection[str]) -> set[str]:
        """Those of the ids that are tasks of ours."""
        query = select(tasks.c.task_id).where(tasks.c.task_id.in_(list(task_ids)))
        async with self._database.read() as connection:
            return set(await connection.scalars(query))

    async def request_cancel(
        self, task_id: str, reason: CancelReason = CancelReason.REQUEST
    ) -> Task:
        """QUEUED and on no server: CANCELED at once. Else CANCELING. Finished: as it is."""
        now = time.time()
        async with self._database.write() as connection:
            untouched = and_(
                tasks.c.status == Status.QUEUED,
                tasks.c.owner.is_(None),
                tasks.c.submitted_at.is_(None),
            )
            await connection.execute(
                update(tasks)
                .where(tasks.c.task_id == task_id, tasks.c.status.in_(["queued", "running"]))
                .values(
                    status=case((untouched, Status.CANCELED), else_=Status.CANCELING),
                    finished_at=case((untouched, now), else_=None),
                    cancel_reason=reason,
                )
            )
            return await fetch_one(connection, task_id)

    async def delete(self, task_ids: Collection[str] | None) -> list[str]:
        """Remove finished tasks, all or those of the ids; answers the ids removed."""
        condition: ColumnElement[bool] = tasks.c.status.in_(list(TERMINAL))
        if task_ids is not None:
            condition = and_(condition, tasks.c.task_id.in_(list(task_ids)))
        async with self._database.write() as connection:
            removed = list(
                await connection.scalars(delete(tasks).where(condition).returning(tasks.c.task_id))
            )
            for table in (outputs, prompts):
                await connection.execute(delete(table).where(table.c.task_id.in_(removed)))
        return removed

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
        async with self._database.read() as connection:
            result = await connection.execute(query.order_by(outputs.c.id.desc()).limit(1))
            row = result.mappings().first()
        return rows.output_of(row) if row else None
