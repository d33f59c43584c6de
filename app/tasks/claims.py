"""The queue and the claims on it: the part of the store that is for runners.

The task table is the queue. A claim is an UPDATE that writes owner and lease; every write by a
runner is fenced by its owner, so that one who lost its lease changes nothing.
"""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Update, and_, case, func, insert, null, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.tasks import rows
from app.tasks.database import Database
from app.tasks.model import (
    Attempt,
    CancelReason,
    Output,
    Progress,
    Status,
    Task,
    sources_of,
)
from app.tasks.outcome import Lost, Outcome, may_try_again
from app.tasks.queries import fetch_one, is_active, is_queued
from app.tasks.tables import outputs, prompts, tasks

Json = dict[str, Any]


class LostClaim(Exception):
    """The task is not (or no longer) this owner's: somebody else drives it now, or it ended."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A task that we drive until its lease ends, with the graph to run."""

    task: Task
    prompt: Json


class Claims:
    """What one gateway process (`owner`) drives."""

    def __init__(
        self, database: Database, owner: str, *, lease_seconds: float, max_attempts: int
    ) -> None:
        self._database = database
        self.max_attempts = max_attempts
        self.owner = owner
        self.lease_seconds = lease_seconds

    async def claim(self, server: str) -> Claim | None:
        """Take the next task that `server` should run: first what is on it already and has no
        live owner, then what is queued, by priority, then age."""
        left_behind = (
            select(tasks.c.seq)
            .where(is_active(), tasks.c.server == server, self._ownerless())
            .order_by(tasks.c.submitted_at)
        )
        waiting = (
            select(tasks.c.seq)
            .where(is_queued(), tasks.c.server.is_(None))
            .where(or_(tasks.c.wanted_server.is_(None), tasks.c.wanted_server == server))
            .order_by(tasks.c.priority.desc(), tasks.c.seq)
        )
        async with self._database.write() as connection:
            for candidates in (left_behind, waiting):
                # SQLite has one writer and needs no row locks: it ignores the FOR UPDATE.
                first = candidates.limit(1).with_for_update(skip_locked=True).scalar_subquery()
                task_id = await connection.scalar(
                    self._taking(server).where(tasks.c.seq == first).returning(tasks.c.task_id)
                )
                if task_id is not None:
                    task = await fetch_one(connection, task_id)
                    prompt = select(prompts.c.prompt).where(prompts.c.task_id == task_id)
                    return Claim(task, json.loads(await connection.scalar(prompt) or "{}"))
        return None

    async def renew(self) -> None:
        """The heartbeat: keep everything that we drive."""
        await self._write(
            update(tasks)
            .where(tasks.c.owner == self.owner, is_active())
            .values(lease_until=time.time() + self.lease_seconds)
        )

    async def save_progress(self, progress: dict[str, Progress]) -> None:
        async with self._database.write() as connection:
            for task_id, value in progress.items():
                await connection.execute(
                    update(tasks)
                    .where(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
                    .values(progress=rows.dump_progress(value))
                )

    async def submitted(self, task_id: str, *, client_id: str, attempts: Sequence[Attempt]) -> Task:
        """The prompt is about to be handed over. Written before the POST: after a crash in
        between, the next owner looks on the server before it sends anything."""
        return await self._update(
            task_id,
            submitted_at=time.time(),
            client_id=client_id,
            attempts=rows.dump_attempts(attempts),
        )

    async def started(self, task_id: str, started_at: float) -> Task:
        """ComfyUI runs it. A task that is CANCELING stays so."""
        return await self._update(
            task_id,
            status=case((tasks.c.status == Status.QUEUED, Status.RUNNING), else_=tasks.c.status),
            started_at=func.coalesce(tasks.c.started_at, started_at),
        )

    async def cancel_owned(self, task_id: str, reason: CancelReason) -> Task:
        return await self._update(task_id, status=Status.CANCELING, cancel_reason=reason)

    async def warn(self, task_id: str, warnings: Sequence[str]) -> Task:
        return await self._update(task_id, warnings=rows.dump(list(warnings)))

    async def add_output(self, task_id: str, output: Output) -> None:
        async with self._database.write() as connection:
            await self._fence(connection, task_id)
            await connection.execute(insert(outputs).values(rows.output_row(task_id, output)))

    async def settle(
        self, task: Task, outcome: Outcome, attempts: Sequence[Attempt], elsewhere: bool
    ) -> Task:
        """Write how a run ended, or put the task back into the queue for another try.

        `elsewhere`: another server could take it.
        """
        if isinstance(outcome, Lost) and may_try_again(
            task, outcome, len(attempts), self.max_attempts, elsewhere=elsewhere
        ):
            return await self.requeue(task.task_id, attempts)
        return await self._update(
            task.task_id,
            status=outcome.status,
            finished_at=time.time(),
            progress=rows.dump_progress(task.progress),
            attempts=rows.dump_attempts(attempts),
            error=rows.dump_error(outcome.error),
            owner=None,
            lease_until=None,
        )

    async def requeue(self, task_id: str, attempts: Sequence[Attempt]) -> Task:
        """Back into the queue, for any server. A task that is CANCELING ends as CANCELED."""
        canceling = tasks.c.status == Status.CANCELING
        return await self._update(
            task_id,
            status=case((canceling, Status.CANCELED), else_=Status.QUEUED),
            finished_at=case((canceling, time.time()), else_=None),
            started_at=null(),
            submitted_at=null(),
            server=null(),
            progress=null(),
            attempts=rows.dump_attempts(attempts),
            owner=None,
            lease_until=None,
        )

    async def hand_back(self, owner: str | None = None) -> None:
        """Let go of everything of ours (or of a dead owner) at once.

        Where a prompt is on a server the next owner re-attaches. What was not handed over yet
        is free for any server again, or canceled if that was asked for.
        """
        not_there = tasks.c.submitted_at.is_(None)
        canceled = and_(not_there, tasks.c.status == Status.CANCELING)
        await self._write(
            update(tasks)
            .where(tasks.c.owner == (owner or self.owner), is_active())
            .values(
                owner=None,
                lease_until=None,
                server=case((not_there, null()), else_=tasks.c.server),
                status=case((canceled, Status.CANCELED), else_=tasks.c.status),
                finished_at=case((canceled, time.time()), else_=null()),
            )
        )

    async def let_go(self, task_id: str) -> None:
        """Make one task of ours free to be claimed again."""
        mine = and_(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
        await self._write(update(tasks).where(mine).values(owner=None, lease_until=None))

    async def owners(self) -> list[str]:
        query = select(tasks.c.owner).where(is_active(), tasks.c.owner.is_not(None)).distinct()
        async with self._database.read() as connection:
            return list(await connection.scalars(query))

    async def adopt(self, *, keep_servers: Collection[str], limit: int = 100) -> list[Task]:
        """Claim tasks on servers that are not in `keep_servers` and that have no live owner."""
        orphans = (
            select(tasks.c.seq)
            .where(is_active(), tasks.c.server.is_not(None), self._ownerless())
            .where(tasks.c.server.not_in(list(keep_servers)))
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
        taking = self._taking(tasks.c.server).where(tasks.c.seq.in_(orphans))
        async with self._database.write() as connection:
            found = await connection.scalars(taking.returning(tasks.c.task_id))
            return [await fetch_one(connection, task_id) for task_id in list(found)]

    # -- plumbing -------------------------------------------------------------------------------

    async def _write(self, statement: Any) -> None:
        async with self._database.write() as connection:
            await connection.execute(statement)

    async def _update(self, task_id: str, **values: Any) -> Task:
        """One fenced change. Raises LostClaim if the task is not the owner's."""
        statement = update(tasks).where(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
        status = values.get("status")
        if isinstance(status, Status):
            statement = statement.where(tasks.c.status.in_(sources_of(status)))
        async with self._database.write() as connection:
            result = await connection.execute(statement.values(**values))
            if result.rowcount != 1:
                raise LostClaim(task_id)
            return await fetch_one(connection, task_id)

    async def _fence(self, connection: AsyncConnection, task_id: str) -> None:
        query = select(tasks.c.seq).where(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
        if await connection.scalar(query.with_for_update()) is None:
            raise LostClaim(task_id)

    def _taking(self, server: Any) -> Update:
        lease_until = time.time() + self.lease_seconds
        return update(tasks).values(owner=self.owner, lease_until=lease_until, server=server)

    def _ownerless(self) -> ColumnElement[bool]:
        """Let go, or its owner's lease lapsed. Our own, late as we may be, are still ours."""
        lapsed = and_(tasks.c.lease_until < time.time(), tasks.c.owner != self.owner)
        return or_(tasks.c.owner.is_(None), lapsed)
