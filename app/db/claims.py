"""SQL for runners: the tasks that a gateway process owns.

Every write is fenced by the owner, so that a process that lost its lease changes nothing.
"""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Float,
    Update,
    and_,
    case,
    delete,
    literal,
    null,
    select,
    update,
)

from app.db import mapping, native, requirements
from app.db.engine.columns import ignoring_unstorable
from app.db.engine.database import Database
from app.db.engine.notify import Topic, notify
from app.db.engine.statement import Statement
from app.db.lease import Lease
from app.db.queries import fetch_one, in_states, is_active
from app.db.run_steps import BY_OTHERS, CHANGE, END_AT_ONCE, START, LostClaim, Unsaved, add_output
from app.db.tables import outputs, tasks
from app.db.task_filters import add_error
from app.db.task_time import task_time
from app.limits.json_types import Json
from app.tasks.model import (
    Attempt,
    CancelReason,
    Output,
    Progress,
    Status,
    Task,
    TaskError,
    sources_of,
)
from app.tasks.outcome import Failed, Outcome, closed
from app.workflows.requirements import Needs, requirements_of


class Claims:
    """The tasks that one process (`runner_id`) owns."""

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self.runner_id = lease.runner_id
        self._lease = lease

    async def renew(self) -> None:
        """Extend the leases of all owned tasks."""
        await self._write(
            update(tasks)
            .where(tasks.c.owner == self.runner_id, is_active())
            .values(lease_until=self._lease.until())
        )

    async def save_progress(self, progress: dict[str, Progress]) -> None:
        def work(connection: Connection) -> None:
            for task_id, value in progress.items():
                text = mapping.dump_progress(value)
                row = {"progress": text, "id": task_id, "me": self.runner_id}
                with ignoring_unstorable(f"the progress of task {task_id}"):
                    _change_to(None).count(connection, row)

        await self._database.write(work)

    async def submitted(self, task: Task, *, client_id: str, attempts: Sequence[Attempt]) -> Task:
        """Record the submission of the prompt.

        Written before the POST: after a crash in between, the next owner checks the server before
        it sends anything.
        """
        return await self._update(
            task, submitted_at=time.time(), client_id=client_id, attempts=tuple(attempts)
        )

    async def started(self, task: Task, started_at: float, outputs: Sequence[Output] = ()) -> Task:
        """Record the start, with results if there are some already; a task in state CANCELING
        stays in it."""
        return await self._update(task, START, {"began": started_at}, outputs)

    async def cancel_owned(self, task: Task, reason: CancelReason) -> Task:
        return await self._update(task, status=Status.CANCELING, cancel_reason=reason)

    async def warn(self, task: Task, warnings: Sequence[str]) -> Task:
        return await self._update(task, warnings=tuple(warnings))

    async def add_output(self, task_id: str, output: Output) -> None:
        await self._database.write(lambda c: add_output(c, task_id, self.runner_id, output))

    async def settle(
        self,
        task: Task,
        outcome: Outcome,
        attempts: Sequence[Attempt],
        unsaved: Unsaved | None = None,
        *,
        native_result: str | None = None,
    ) -> Task:
        """Write the end of the task, with its start and its results if they are `unsaved`.

        With these, LostClaim is also raised if a cancel was requested. `native_result`: JSON of
        what the server's history says, of a task of ComfyUI's own protocol.
        """
        began = {} if unsaved is None else {"started_at": unsaved.began}
        return await self._update(
            task,
            None if unsaved is None else END_AT_ONCE,
            {"lease_until": None, **began},
            () if unsaved is None else unsaved.outputs,
            status=outcome.status,
            finished_at=time.time(),
            progress=task.progress,
            attempts=tuple(attempts),
            error=outcome.error,
            runner_id=None,
            native_result=native_result,
        )

    async def give_up(self, task: Task, error: TaskError) -> Task:
        """Fail the task with nothing but this error, which must be known to be storable."""
        ran = task.started_at is not None
        return await self._update(
            task,
            changed={"lease_until": None},
            status=Status.FAILED,
            finished_at=time.time(),
            attempts=tuple(closed(task.attempts, Failed(error), ran=ran)),
            error=error,
            runner_id=None,
        )

    async def requeue(
        self,
        task_id: str,
        attempts: Sequence[Attempt],
        *,
        behind: bool = False,
        needs: Needs | None = None,
    ) -> Task:
        """Put the task back into the queue for any server, without the results of the lost run.

        `behind`: with the rank of a new task, unless it is in a lane; `needs`: new requirements,
        for a task without a wanted server. A task in state CANCELING becomes CANCELED instead.
        """
        canceling = tasks.c.status == Status.CANCELING
        # A task with a paid node key stays ours: no other process has the key
        ours = and_(~canceling, tasks.c.needs_key)
        change = CHANGE.values(
            status=case((canceling, Status.CANCELED), else_=Status.QUEUED),
            finished_at=case((canceling, time.time()), else_=None),
            started_at=null(),
            submitted_at=null(),
            client_id=null(),
            server=null(),
            progress=null(),
            attempts=mapping.dump_attempts(attempts),
            owner=case((ours, self.runner_id), else_=null()),
            lease_until=case((ours, self._lease.until()), else_=null()),
        )

        if behind:
            # As in mapping.new_row; the current rank would include earlier waiting times.
            ageing = literal(mapping.PRIORITY_AGEING_SECONDS, Float)
            rank = literal(task_time(), Float) - ageing * tasks.c.priority
            # Tasks of a lane keep their order
            change = change.values(rank=case((tasks.c.lane.is_(None), rank), else_=tasks.c.rank))

        new = None if needs is None else requirements_of(needs)
        if new is not None:
            change = change.values(route=new.requirements_id)

        def work(connection: Connection) -> Task:
            if new is not None:
                requirements.hold(connection, [new])
            if connection.execute(change, {"id": task_id, "me": self.runner_id}).rowcount != 1:
                raise LostClaim(task_id)
            connection.execute(delete(outputs).where(outputs.c.task_id == task_id))
            notify(connection, Topic.WORK)
            return fetch_one(connection, task_id)

        return await self._database.write(work)

    async def hand_back(self, runner_id: str | None = None) -> None:
        """Release all tasks of this process, or of a dead one.

        If a prompt was submitted the next owner re-attaches to it. Other tasks become available to
        any server again, or CANCELED if that was requested.
        """
        not_there = tasks.c.submitted_at.is_(None)
        canceled = and_(not_there, tasks.c.status == Status.CANCELING)
        await self._write(
            update(tasks)
            .where(tasks.c.owner == (runner_id or self.runner_id), is_active())
            .values(
                owner=None,
                lease_until=None,
                server=case((not_there, null()), else_=tasks.c.server),
                client_id=case((not_there, null()), else_=tasks.c.client_id),
                status=case((canceled, Status.CANCELED), else_=tasks.c.status),
                finished_at=case((canceled, time.time()), else_=null()),
            ),
            topic=Topic.LEFT,
        )

    async def let_go(self, task_id: str) -> None:
        """Release one task, so that it can be claimed again."""
        mine = and_(tasks.c.task_id == task_id, tasks.c.owner == self.runner_id)
        await self._write(
            update(tasks).where(mine).values(owner=None, lease_until=None), topic=Topic.LEFT
        )

    async def driven(self) -> set[str]:
        """Return the owned tasks that are assigned to a server."""
        query = select(tasks.c.task_id).where(
            tasks.c.owner == self.runner_id, is_active(), tasks.c.server.is_not(None)
        )
        return await self._database.read(lambda connection: set(connection.scalars(query)))

    async def canceled(self) -> list[str]:
        """Return the owned tasks whose cancel was requested."""
        query = select(tasks.c.task_id).where(
            tasks.c.owner == self.runner_id,
            is_active(),
            tasks.c.status == Status.CANCELING,
            tasks.c.cancel_reason == CancelReason.REQUEST,
        )
        return await self._database.read(lambda connection: list(connection.scalars(query)))

    # -- helpers --------------------------------------------------------------------------------

    async def _write(self, statement: Update, topic: Topic | None = None) -> None:
        def work(connection: Connection) -> None:
            if connection.execute(statement).rowcount and topic is not None:
                notify(connection, topic)

        await self._database.write(work)

    async def _update(
        self,
        task: Task,
        statement: Statement | None = None,
        changed: Json | None = None,
        outputs: Sequence[Output] = (),
        native_result: str | None = None,
        **fields: Any,
    ) -> Task:
        """Apply one fenced change and return the updated task.

        The change consists of `fields`, or is given by `statement`; `changed` has values of columns
        that are no fields, and `outputs` and `native_result` are added. Raises LostClaim if the
        task has another owner.
        """
        change = _change_to(fields.get("status")) if statement is None else statement
        values = {
            **mapping.columns(fields),
            **(changed or {}),
            "id": task.task_id,
            "me": self.runner_id,
        }

        def work(connection: Connection) -> Any:
            for output in outputs:
                add_output(connection, task.task_id, self.runner_id, output)
            if not (found := change.rows(connection, values)):
                raise LostClaim(task.task_id)
            if fields.get("error"):
                add_error(connection, task.task_id, fields["error"])
            if native_result is not None:
                native.keep_result(connection, task.task_id, native_result)
            return found[0]

        row = await self._database.write(work)
        fields |= {"status": Status(row.status), "started_at": row.started_at}
        fields["cancel_reason"] = row.cancel_reason and CancelReason(row.cancel_reason)
        return replace(task, **fields)


@cache
def _change_to(status: Status | None) -> Statement:
    """Return an UPDATE, restricted to the states from which `status` may be reached.

    Made once, as it is compiled once.
    """
    change = CHANGE if status is None else CHANGE.where(in_states(sources_of(status)))
    return Statement(change.returning(*BY_OTHERS))
