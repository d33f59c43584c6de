"""Deletes results that are too old or too many; their tasks stay, as `expired`."""

import logging
import time
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, RowMapping, bindparam, func, null, select, update

from app.db import mapping
from app.db.engine.database import Database
from app.db.engine.list_parameters import parts_of
from app.db.queries import fetch_one
from app.db.tables import outputs, tasks
from app.db.webhooks import is_to_be_told
from app.errors import GatewayError, StorageUnavailable
from app.events.hub import Hub
from app.files.images.views import forget_results, size_of_views
from app.files.stores.store import FileStore
from app.limits.periodic import every
from app.scheduler.view_cleanup import ViewsFound, swept
from app.tasks.model import EXPIRED_OUTPUT, TERMINAL, Status, Task, TaskError
from app.tasks.view import task_view

log = logging.getLogger(__name__)

RETENTION_INTERVAL = 60.0  # seconds between two sweeps; less if results are kept for a shorter time
PAGE_TASKS = 500  # tasks per transaction
MAX_FAILED = 10  # tasks in a sweep whose files cannot be deleted; after more the store is away
VIEWS_INTERVAL = 600.0  # seconds between two scans of the views; listing a bucket costs money

# Finished tasks that have files, with the size of these in bytes, oldest end first. Tasks with
# pending webhook deliveries are left out: their receivers may fetch the results.
_HOLDERS = (
    select(tasks.c.task_id, tasks.c.finished_at, func.sum(outputs.c.size_bytes).label("size"))
    .join(outputs, outputs.c.task_id == tasks.c.task_id)
    .where(outputs.c.key.is_not(None))
    .where(tasks.c.status.in_(sorted(TERMINAL - {Status.EXPIRED})))
    .where(~is_to_be_told(tasks.c.task_id))
    .group_by(tasks.c.task_id, tasks.c.finished_at, tasks.c.seq)
    .order_by(tasks.c.finished_at, tasks.c.seq)
    .limit(PAGE_TASKS)
)
_TOTAL = select(func.coalesce(func.sum(outputs.c.size_bytes), 0)).where(outputs.c.key.is_not(None))
_EXPIRE = (
    update(tasks)
    .where(tasks.c.task_id == bindparam("expired_id"), tasks.c.status.in_(sorted(TERMINAL)))
    .values(status=Status.EXPIRED, error=bindparam("why"))
)
_FORGET = (
    update(outputs)
    .where(outputs.c.task_id == bindparam("expired_id"), outputs.c.key.is_not(None))
    .values(key=null(), error=EXPIRED_OUTPUT)
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long results are kept, in seconds from the task's end, and how many bytes with views."""

    age: float | None = None
    bytes: int | None = None


class Retention:
    def __init__(
        self,
        database: Database,
        files: FileStore,
        hub: Hub,
        limits: Limits,
        *,
        uploads: FileStore,
    ) -> None:
        self._uploads = uploads
        self._database = database
        self._files = files
        self._hub = hub
        self._limits = limits
        self._views = ViewsFound()  # by the last scan
        self._look_at = 0.0

    async def run(self) -> None:
        """Sweep at intervals until cancelled."""
        pause = min(RETENTION_INTERVAL, (self._limits.age or RETENTION_INTERVAL) / 2)
        await every(pause, self._sweep_alone, "removing results")

    async def _sweep_alone(self) -> None:
        """Sweep until nothing is due, unless another process is sweeping."""
        try:
            async with self._database.alone("retention") as ours:
                while ours and await self.sweep() == PAGE_TASKS:
                    pass
        except GatewayError as error:
            log.warning("results cannot be removed now: %s", error.detail)

    async def sweep(self) -> int:
        """Delete what is over the limits, oldest first; return how many tasks expired.

        Without limits, only views whose file is gone are deleted.
        """
        await self._look_at_views()
        if self._limits == Limits():
            return 0
        holders, total = await self._database.read(_look, large=True)
        total = await self._without_old_views(total + self._views.bytes)
        expired, failed = 0, list[GatewayError]()
        for holder in holders:
            if not self._is_due(holder, total):
                break
            views = await self._views_of(holder["task_id"])
            try:
                await self._expire(holder["task_id"])
            except StorageUnavailable as error:  # on Windows while another program reads a file
                failed.append(error)
                if len(failed) > MAX_FAILED:
                    raise
                continue
            self._views.bytes -= views
            total -= (holder["size"] or 0) + views
            expired += 1
        if expired:
            log.info("removed the results of %d tasks", expired)
        if failed:
            log.warning("results of %d tasks stay for now: %s", len(failed), failed[0].detail)
        return expired

    async def _expire(self, task_id: str) -> None:
        # Files first: if the process stops in between, the next sweep finds the task again.
        await forget_results(self._files, task_id)
        task = await self._database.write(partial(_expire, task_id=task_id))
        self._hub.publish(task, "status", partial(task_view, task))

    async def _look_at_views(self) -> None:
        if time.monotonic() >= self._look_at:
            self._views = await swept(self._database, self._files, self._uploads)
            self._look_at = time.monotonic() + VIEWS_INTERVAL

    async def _without_old_views(self, total: int) -> int:
        """Delete the due views of uploads; return the bytes that are left.

        Views go before any result, as they can be made again.
        """
        due, kept = [], []
        for info in self._views.of_uploads:
            if self._is_over(info.modified_at, total):
                total -= info.size_bytes
                self._views.bytes -= info.size_bytes
                due.append(info.key)
            else:
                kept.append(info)
        self._views.of_uploads = kept
        for keys in parts_of(due, PAGE_TASKS):
            await self._files.delete_all(keys)
        return total

    async def _views_of(self, task_id: str) -> int:
        return await size_of_views(self._files, task_id) if self._limits.bytes is not None else 0

    def _is_due(self, holder: RowMapping, total: int) -> bool:
        return self._is_over(holder["finished_at"], total)

    def _is_over(self, since: float, total: int) -> bool:
        if self._limits.age is not None and since < time.time() - self._limits.age:
            return True
        return self._limits.bytes is not None and total > self._limits.bytes


def _look(connection: Connection) -> tuple[list[RowMapping], int]:
    return list(connection.execute(_HOLDERS).mappings()), connection.scalar(_TOTAL) or 0


def _expire(connection: Connection, task_id: str) -> Task:
    before = fetch_one(connection, task_id)
    values = {"expired_id": task_id, "why": mapping.dump_error(_reason(before))}
    connection.execute(_EXPIRE, values)
    connection.execute(_FORGET, {"expired_id": task_id})
    return fetch_one(connection, task_id)


def _reason(task: Task) -> TaskError:
    message = "The results were removed after their time."
    if task.error:
        message += f" The task had {task.status}: {task.error.code}: {task.error.message}"
    return TaskError("expired", message)
