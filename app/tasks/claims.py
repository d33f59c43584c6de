"""The queue and the claims on it: the part of the store that is for runners.

The task table is the queue. A claim is an UPDATE that writes owner and lease; every write by a
runner is fenced by its owner, so that one who lost its lease changes nothing.
"""

import json
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    Update,
    and_,
    bindparam,
    case,
    func,
    insert,
    null,
    or_,
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
from app.tasks.outcome import Lost, Outcome, may_try_again
from app.tasks.queries import fetch_one, is_active, is_queued
from app.tasks.tables import outputs, prompts, tasks

Json = dict[str, Any]


# Let go, or its owner's lease lapsed. Our own, late as we may be, are still ours.
_OWNERLESS = or_(
    tasks.c.owner.is_(None),
    and_(tasks.c.lease_until < bindparam("now"), tasks.c.owner != bindparam("me")),
)
_LEFT_BEHIND = (
    select(tasks.c.seq)
    .where(is_active(), tasks.c.server == bindparam("for_server"), _OWNERLESS)
    .order_by(tasks.c.submitted_at)
)
_WAITING = (
    select(tasks.c.seq)
    .where(is_queued(), tasks.c.server.is_(None))
    .where(or_(tasks.c.wanted_server.is_(None), tasks.c.wanted_server == bindparam("for_server")))
    .order_by(tasks.c.priority.desc(), tasks.c.seq)
)


def _taking(candidates: Select[tuple[int]], **more: Any) -> Any:
    # SQLite has one writer and needs no row locks: it ignores the FOR UPDATE.
    rows_to_take = candidates.with_for_update(skip_locked=True)
    return (
        update(tasks)
        .where(tasks.c.seq.in_(rows_to_take))
        .values(owner=bindparam("me"), lease_until=bindparam("until"), **more)
        .returning(tasks.c.task_id)
    )


_TAKE_LEFT_BEHIND = _taking(_LEFT_BEHIND.limit(1))
_TAKE_WAITING = _taking(_WAITING.limit(1), server=bindparam("for_server"))
_PROMPT = select(prompts.c.prompt).where(prompts.c.task_id == bindparam("id"))
_IS_MINE = and_(tasks.c.task_id == bindparam("id"), tasks.c.owner == bindparam("me"))
_FENCE = select(tasks.c.seq).where(_IS_MINE).with_for_update()
_TAKE_ORPHANS = _taking(
    select(tasks.c.seq)
    .where(is_active(), tasks.c.server.is_not(None), _OWNERLESS)
    .where(tasks.c.server.not_in(bindparam("keep", expanding=True)))
    .limit(100)
)


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
        now = time.time()
        values = {
            "for_server": server,
            "me": self.owner,
            "now": now,
            "until": now + self.lease_seconds,
        }

        def work(connection: Connection) -> Claim | None:
            for taking in (_TAKE_LEFT_BEHIND, _TAKE_WAITING):
                task_id = connection.scalar(taking, values)
                if task_id is not None:
                    text = connection.scalar(_PROMPT, {"id": task_id})
                    return Claim(fetch_one(connection, task_id), json.loads(text or "{}"))
            return None

        return await self._database.write(work)

    async def renew(self) -> None:
        """The heartbeat: keep everything that we drive."""
        await self._write(
            update(tasks)
            .where(tasks.c.owner == self.owner, is_active())
            .values(lease_until=time.time() + self.lease_seconds)
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
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    async def adopt(self, *, keep_servers: Collection[str]) -> list[Task]:
        """Claim tasks on servers that are not in `keep_servers` and that have no live owner."""
        now = time.time()
        until = now + self.lease_seconds
        values = {"me": self.owner, "now": now, "until": until, "keep": list(keep_servers)}

        def work(connection: Connection) -> list[Task]:
            found = list(connection.scalars(_TAKE_ORPHANS, values))
            return [fetch_one(connection, task_id) for task_id in found]

        return await self._database.write(work)

    # -- plumbing -------------------------------------------------------------------------------

    async def _write(self, statement: Update) -> None:
        await self._database.write(lambda connection: connection.execute(statement))

    async def _update(self, task_id: str, **values: Any) -> Task:
        """One fenced change. Raises LostClaim if the task is not the owner's."""
        statement = update(tasks).where(tasks.c.task_id == task_id, tasks.c.owner == self.owner)
        status = values.get("status")
        if isinstance(status, Status):
            statement = statement.where(tasks.c.status.in_(sources_of(status)))

        def work(connection: Connection) -> Task:
            if connection.execute(statement.values(**values)).rowcount != 1:
                raise LostClaim(task_id)
            return fetch_one(connection, task_id)

        return await self._database.write(work)
