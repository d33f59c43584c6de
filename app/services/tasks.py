"""Operations on tasks for the routers: read, wait, cancel, retry, delete."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from app.auth.model import Caller
from app.db.engine.list_parameters import parts_of
from app.db.prompts import extra_of, graph_of
from app.db.queries import no_task
from app.db.task_filters import MAX_COUNTED_TASKS, Selection
from app.db.tasks import TaskRepository
from app.errors import ApiKeyGone, BatchNotFound, FileExpired, FileNotFound, TaskNotFinished
from app.events.subscription import Ended, Update
from app.files.archive import archived
from app.files.images.views import forget_results
from app.files.stores.store import FileStore
from app.limits.json_types import Json
from app.limits.lru_cache import BoundedCache
from app.servers import queues
from app.servers.server import Server
from app.services.submissions import SubmissionParts, SubmissionService
from app.tasks.model import CancelReason, Many, NewTask, Status, Task
from app.tasks.task_json import TaskJson
from app.tasks.truncation import MAX_STREAM_BYTES
from app.tasks.view import entries_of, task_below, timestamp
from app.workflows.parameters.apply import with_changes
from app.workflows.requirements import needs_of, requirements_of, shape_of

KNOWN_OWNERS = 10_000  # tasks whose owner is remembered
CANCELED_AT_ONCE = 100  # tasks; fewer than a subscriber may be behind
# seconds; upper bound of waiting for subscribers while many tasks are cancelled
DELIVERY_TIMEOUT = 10.0


def _owners() -> BoundedCache[tuple[str, str | None], str]:
    return BoundedCache(KNOWN_OWNERS)


@dataclass(frozen=True, slots=True)
class TaskParts:
    """The dependencies of a `TaskService` that do not depend on the caller.

    `check_owner` raises if a key is no longer valid; `owners` are kept by task id and creation
    time, "" for a task that does not exist.
    """

    submissions: SubmissionParts
    files: FileStore
    check_owner: Callable[[str | None], None]
    owners: BoundedCache[tuple[str, str | None], str] = field(default_factory=_owners)


class TaskService:
    """The tasks that `caller` may see; no others exist for it. Their URLs are below `base_path`."""

    def __init__(self, parts: TaskParts, caller: Caller, base_path: str = "") -> None:
        self._parts = parts
        self._store = TaskRepository(parts.submissions.tasks, caller)
        self._hub = parts.submissions.hub
        self._dispatcher = parts.submissions.dispatcher
        self._caller = caller
        self._base_path = base_path

    def sees(self, update: Update) -> bool | None:
        """Return whether the caller may see the update's task; False if the id has been reused
        since, None if `look_up` has to find out."""
        if self._caller.is_unrestricted:
            return True
        owner = self._parts.owners.get((update.task_id, update.born))
        return None if owner is None else owner == self._caller.visible_owner

    async def look_up(self, update: Update) -> None:
        """Find out whose the update's task is, unless `sees` knows."""
        if self.sees(update) is not None:
            return
        found, created_at = await self._store.owner_of(update.task_id)
        owner = found if found and update.born in (None, timestamp(created_at)) else ""
        self._parts.owners.put((update.task_id, update.born), owner)

    async def get(self, task_id: str) -> Task:
        """Return a task. Raise TaskNotFound."""
        return await self._store.get(task_id)

    async def several(self, task_ids: Sequence[str]) -> dict[str, Task]:
        """Return the tasks with these ids that exist, by id, as lists show them."""
        return {task.task_id: task for task in await self._store.several(task_ids)}

    async def prompt(self, task_id: str) -> Json:
        """Return the prompt that the task runs. Raise TaskNotFound."""
        return await self._store.prompt(task_id)

    async def page(
        self,
        selection: Selection,
        limit: int,
        before: int | None,
    ) -> tuple[list[Task], int | None]:
        """Return a page of tasks, newest first, and the cursor of the next page."""
        found = await self._store.page(selection, limit=limit + 1, before=before)
        more = len(found) > limit
        return found[:limit], found[limit - 1].seq if more else None

    async def total(self, selection: Selection) -> tuple[int, bool]:
        """Return the number of tasks in the selection, and whether there are more than counted."""
        found = await self._store.total(selection)
        return min(found, MAX_COUNTED_TASKS), found > MAX_COUNTED_TASKS

    async def queue(self) -> list[Task]:
        return await self._store.queue()

    async def known(self, task_ids: Collection[str]) -> set[str]:
        """Return those of the ids that are tasks of the caller."""
        return await self._store.ids_of(task_ids)

    def view(self, task: Task, room: int | None = MAX_STREAM_BYTES) -> TaskJson:
        """Return the task as JSON with live progress and ETA, cut to `room` bytes if not None."""
        view = self._parts.submissions.presenter.view(task, room)
        return task_below(view, self._base_path, room)

    async def wait(self, task_ids: Sequence[str], seconds: float) -> list[Task]:
        """Wait until all tasks are finished, at most `seconds`, and return them. Does not wait if
        the caller follows too many tasks. Several tasks are returned as lists show them."""
        seconds = seconds if self._hub.has_room(len(task_ids)) else 0
        with self._hub.subscribe(task_ids if seconds else [], lasts=True) as updates:
            ends = await self._store.ends(task_ids)
            open_ones = {task_id for task_id, is_over in ends.items() if not is_over}
            try:
                async with asyncio.timeout(seconds):
                    while open_ones:
                        open_ones.discard((await updates.get()).task_id)
            except (TimeoutError, Ended):
                pass
        return await self._these(task_ids)

    async def _these(self, task_ids: Sequence[str]) -> list[Task]:
        """Return the tasks in order. Raise TaskNotFound."""
        if len(task_ids) == 1:
            return [await self._store.get(task_ids[0])]
        found = await self.several(task_ids)
        return [found.get(task_id) or await self._store.get(task_id) for task_id in task_ids]

    async def cancel(self, task_id: str) -> Task:
        """Cancel a task in any state; a finished task stays as it is. Raise TaskNotFound."""
        task = await self._store.request_cancel(task_id)
        self._tell_of_cancel(task)
        return task

    async def cancel_queued(self) -> Many:
        """Cancel all queued tasks of the caller."""
        return await self.cancel_all(await self._store.unfinished())

    async def counts(self, batch_id: str) -> dict[Status, int]:
        """Return the number of tasks of the batch by status. Raise BatchNotFound."""
        counts = await self._store.counts(batch_id)
        if not counts:
            raise BatchNotFound(
                f"There is no batch {batch_id[:80]!r}.",
                hint='A submit with "batch" answers with its batch_id.',
            )
        return counts

    async def cancel_batch(self, batch_id: str) -> Many:
        """Cancel all unfinished tasks of a batch. Raise BatchNotFound."""
        await self.counts(batch_id)
        return await self.cancel_all(await self._store.unfinished(batch_id))

    async def cancel_all(self, task_ids: Collection[str]) -> Many:
        """Cancel tasks in parts, so that other work can run and subscribers catch up. Starts at the
        end of the queue, as servers that become free take from its head."""
        done, patience = Many(), DELIVERY_TIMEOUT
        for part in parts_of(reversed(list(task_ids)), CANCELED_AT_ONCE):
            tasks = await self._store.request_cancels(part)
            for task in tasks:
                self._tell_of_cancel(task)
            done.add(_having(tasks, Status.CANCELED), _having(tasks, Status.CANCELING))
            patience = await self._hub.caught_up(patience)
        return done

    def _tell_of_cancel(self, task: Task) -> None:
        if not task.finished:
            self._dispatcher.cancel(task.task_id, CancelReason.REQUEST)
        view = self._parts.submissions.presenter.view(task)
        self._hub.publish(task, "status", lambda: view)

    async def retry(self, task_id: str) -> Task:
        """Queue a new task from the same request.

        Raises TaskNotFound, InvalidInput, QueueFull, and ApiKeyGone if the task had a secret.
        """
        old = await self._store.get(task_id)
        self._parts.check_owner(old.owner)
        if old.needs_paid_node_key:
            raise ApiKeyGone(
                "The task came with an API key, which is kept for that task only.",
                hint="Submit the workflow again, with its key.",
            )
        webhook, native_request = await self._store.beside(task_id)
        prompt, changes, extra = await self._store.prompt_parts(task_id)
        submissions = SubmissionService(self._parts.submissions, self._caller)
        whole = with_changes(prompt, changes)
        requirements = requirements_of(needs_of(whole), old.wanted_server, shares_graph=True)
        await submissions.refuse_faulty(whole, requirements)
        new = NewTask(
            task_id=str(uuid4()),
            prompt=prompt,
            graph=graph_of(prompt, old.owner),
            changes=changes,
            extra=extra_of(extra, old.owner) if extra else None,
            params=old.params,
            metadata=old.metadata,
            filename=old.filename,
            timeout=old.timeout,
            priority=old.priority,
            requirements=requirements,
            shape=shape_of(whole),
            retry_of=task_id,
            webhooks=(webhook,) if webhook else (),
            owner=old.owner,  # the task's input files belong to that owner
            native_request=native_request,
        )
        return (await submissions.add([new]))[0].task

    async def delete(
        self, task_ids: Collection[str] | None, *, also_on: Collection[Server] = ()
    ) -> Many:
        """Delete finished tasks (all, or these) with their files. `also_on`: servers to delete them
        from.

        Raises TaskNotFound and TaskNotFinished, with nothing deleted, if one of the ids is no task
        or its task is not finished.
        """
        done = Many()
        if task_ids is not None:
            await self._check_ended(task_ids)
        async for part in self._in_parts(task_ids):
            removed = await self._store.delete(part)
            await forget_results(self._parts.files, *removed)
            await queues.forget(also_on, removed)
            done.add(removed)
        return done

    async def _check_ended(self, task_ids: Collection[str]) -> None:
        ends = await self._store.ends(task_ids)
        for task_id in task_ids:
            if task_id not in ends:
                raise no_task(task_id)
            if not ends[task_id]:
                raise TaskNotFinished(
                    f"Task {task_id} is not finished.",
                    hint=f"Cancel it first: POST /api/task/{task_id}/cancel.",
                )

    async def _in_parts(self, task_ids: Collection[str] | None) -> AsyncIterator[Sequence[str]]:
        """Yield the ids in parts, or those of all tasks finished now, each once even if not
        deleted."""
        if task_ids is not None:
            for part in parts_of(dict.fromkeys(task_ids)):
                yield part
            return
        after, until = 0, await self._store.newest()
        while after < until:
            part, after = await self._store.finished(after, until)
            if part:
                yield part

    async def result_file(
        self, filename: str, *, task_id: str | None, subfolder: str | None, type: str | None
    ) -> tuple[str, str]:
        """Return the key and content type of the newest result with that name.

        Raises FileNotFound, and FileExpired if it was a result of the task.
        """
        found = await self._store.find_output(
            filename, task_id=task_id, subfolder=subfolder, type=type
        )
        if found is None and task_id is not None:
            _refuse_expired(await self._store.get(task_id))
        if found is None:
            raise FileNotFound(
                f"There is no result {filename[:200]!r}.",
                hint="Uploads need type=input; files on a server need server=HOST:PORT.",
            )
        return found.key or "", found.content_type or "application/octet-stream"

    async def archive(self, task_id: str) -> AsyncIterator[bytes]:
        """Return all outputs of a finished task as a ZIP file, generated while it is read.

        Raises TaskNotFound, TaskNotFinished and FileExpired, before the first byte.
        """
        task = await self._store.get(task_id)
        if not task.finished:
            raise TaskNotFinished(
                f"Task {task_id} is not finished.", hint="Ask again when it is, or wait for it."
            )
        _refuse_expired(task)
        return archived(self._parts.files, entries_of(task))


def _having(tasks: Sequence[Task], status: Status) -> list[str]:
    return [task.task_id for task in tasks if task.status is status]


def _refuse_expired(task: Task) -> None:
    if task.status is Status.EXPIRED:
        raise FileExpired(
            f"The results of task {task.task_id} were removed after their time.",
            hint=f"Run it again: POST /api/task/{task.task_id}/retry.",
        )
