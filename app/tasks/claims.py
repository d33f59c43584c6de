"""What a gateway process drives: the part of the store that is for runners.

Every write is fenced by its owner, so that one who lost its lease changes nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    insert,
    null,
    select,
    update,
)

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
from app.tasks.outcome import Outcome
from app.tasks.queries import fetch_one, is_active
from app.tasks.signals import Topic, tell
from app.tasks.tables import outputs, tasks

Json = dict[str, Any]

_IS_MINE = and_(tasks.c.task_id == bindparam("id"), tasks.c.owner == bindparam("me"))
_FENCE = select(tasks.c.seq).where(_IS_MINE).with_for_update()


@dataclass(frozen=True, slots=True)
class Lease:
    """Who drives tasks, and for how long without renewing it."""

    owner: str
    seconds: float

    def until(self) -> float:
        return time.time() + self.seconds


class LostClaim(Exception):
    """The task is not (or no longer) this owner's: somebody else drives it now, or it ended."""


class Claims:
    """The tasks that one process (`owner`) drives."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self.owner = lease.owner
        self._lease = lease

    async def renew(self) -> None:
        """The heartbeat: keep everything that we drive."""
        await self._write(
            update(tasks)
            .where(tasks.c.owner == self.owner, is_active())
            .values(lease_until=self._lease.until())
        )

    async def save_progress(self, progress: dict[str, Progress]) -> None:
        def work(connection: Connection) -> None:
            for task_id, value in progress.items():
                mine = and_(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
                text = rows.dump_progress(value)
                connection.execute(update(tasks).where(mine).values(progress=text))

        await self._database.write(work)

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
        def work(connection: Connection) -> None:
            if connection.scalar(_FENCE, {"id": task_id, "me": self.owner}) is None:
                raise LostClaim(task_id)
            connection.execute(insert(outputs), rows.output_row(task_id, output))

        await self._database.write(work)

    async def settle(self, task: Task, outcome: Outcome, attempts: Sequence[Attempt]) -> Task:
        """Write how the task ended."""
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
        """Back into the queue, for any server, without the results of the run that was lost.
        A task that is CANCELING ends as CANCELED."""
        canceling = tasks.c.status == Status.CANCELING
        ours = and_(~canceling, tasks.c.needs_key)  # nobody else has its key
        return await self._update(
            task_id,
            forget_outputs=True,
            status=case((canceling, Status.CANCELED), else_=Status.QUEUED),
            finished_at=case((canceling, time.time()), else_=None),
            started_at=null(),
            submitted_at=null(),
            server=null(),
            progress=null(),
            attempts=rows.dump_attempts(attempts),
            owner=case((ours, self.owner), else_=null()),
            lease_until=case((ours, self._lease.until()), else_=null()),
            topic=Topic.WORK,
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
            ),
            topic=Topic.WORK,
        )

    async def let_go(self, task_id: str) -> None:
        """Make one task of ours free to be claimed again."""
        mine = and_(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
        await self._write(
            update(tasks).where(mine).values(owner=None, lease_until=None), topic=Topic.WORK
        )

    async def canceled(self) -> list[str]:
        """What we drive, and somebody wants to stop."""
        query = select(tasks.c.task_id).where(
            tasks.c.owner == self.owner,
            is_active(),
            tasks.c.status == Status.CANCELING,
            tasks.c.cancel_reason == CancelReason.REQUEST,
        )
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    # -- plumbing -------------------------------------------------------------------------------

    async def _write(self, statement: Update, topic: Topic | None = None) -> None:
        def work(connection: Connection) -> None:
            if connection.execute(statement).rowcount and topic is not None:
                tell(connection, topic)

        await self._database.write(work)

    async def _update(
        self,
        task_id: str,
        *,
        forget_outputs: bool = False,
        topic: Topic | None = None,
        **values: Any,
    ) -> Task:
        """One fenced change. Raises LostClaim if the task is not the owner's."""
        statement = update(tasks).where(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
        status = values.get("status")
        if isinstance(status, Status):
            statement = statement.where(tasks.c.status.in_(sources_of(status)))

        def work(connection: Connection) -> Task:
            if connection.execute(statement.values(**values)).rowcount != 1:
                raise LostClaim(task_id)
            if forget_outputs:
                connection.execute(delete(outputs).where(outputs.c.task_id == task_id))
            if "status" in values:
                tell(connection, Topic.STATUS, task_id)
            if topic is not None:
                tell(connection, topic)
            return fetch_one(connection, task_id)

        return await self._database.write(work)
