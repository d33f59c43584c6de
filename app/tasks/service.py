"""What the routers call: submit, ask, wait, cancel, retry, delete."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from app.errors import FileNotFound, InvalidWorkflow, TaskNotFinished
from app.files.store import FileStore
from app.servers.core_nodes import core_node_types
from app.servers.pool import Pool
from app.tasks.dispatcher import Dispatcher
from app.tasks.hub import Closed, Hub, Overrun
from app.tasks.intake import Prepared, prepare, to_prompt, with_params
from app.tasks.materials import Materials, is_material
from app.tasks.model import CancelReason, NewTask, Status, Task
from app.tasks.store import TaskStore
from app.tasks.view import task_view
from app.tasks.webhooks import Webhook
from app.workflows.file_inputs import file_inputs
from app.workflows.library import Library

Json = dict[str, Any]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Submission:
    """A request to run a workflow: its JSON, or the `filename` of a saved one."""

    workflow: Any = None
    filename: str | None = None
    params: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    timeout: float | None = None
    priority: int = 0
    server: str | None = None
    webhook: Webhook | None = None


class Tasks:
    def __init__(
        self,
        *,
        store: TaskStore,
        hub: Hub,
        dispatcher: Dispatcher,
        pool: Pool,
        library: Library,
        files: FileStore,
        default_timeout: float | None,
        materials: Materials,
        everywhere: Webhook | None = None,
    ) -> None:
        self._store = store
        self._hub = hub
        self._dispatcher = dispatcher
        self._pool = pool
        self._library = library
        self._files = files
        self._default_timeout = default_timeout
        self._materials = materials
        self._everywhere = everywhere

    async def submit(self, submission: Submission, server_id: str | None = None) -> Task:
        """Queue a task; it is durable when this returns. Raises InvalidWorkflow and its kinds."""
        filename, workflow = await self.workflow_of(submission)
        server = self._wanted_server(submission, server_id)
        params = await self._with_uploads(submission.params, workflow, server)
        prepared = await self._with_fresh_node_types(
            server, lambda node_types: prepare(workflow, params, node_types)
        )
        return await self._add(
            NewTask(
                task_id=str(uuid4()),
                prompt=prepared.prompt,
                params={**params, **prepared.params},
                warnings=tuple(prepared.warnings),
                metadata=submission.metadata,
                filename=filename,
                timeout=submission.timeout or self._default_timeout,
                priority=submission.priority,
                wanted_server=server,
                webhooks=(submission.webhook,) if submission.webhook else (),
            )
        )

    async def _with_uploads(self, params: Json, workflow: Any, server: str | None) -> Json:
        """The params with names of uploads in place of URLs, data and files."""
        if not any(is_material(value) for value in params.values()):
            return params

        def work(node_types: Mapping[str, Json]) -> dict[str, str]:
            known = node_types or core_node_types()
            return file_inputs(to_prompt(workflow, node_types).prompt, params, known)

        kinds = await self._with_fresh_node_types(server, work)
        return await self._materials.settle(params, kinds)

    async def convert(self, submission: Submission, server_id: str | None = None) -> Prepared:
        """The workflow as a prompt, parameters set; nothing is queued. Raises as `submit` does,
        but not for node types that no server has: a warning names them."""
        _, workflow = await self.workflow_of(submission)
        server = self._wanted_server(submission, server_id)

        def work(node_types: Mapping[str, Json]) -> Prepared:
            found = to_prompt(workflow, node_types)
            return with_params(found, submission.params, node_types)

        return await self._with_fresh_node_types(server, work)

    def _wanted_server(self, submission: Submission, server_id: str | None) -> str | None:
        """The id of the server that was asked for. Raises ServerNotFound."""
        wanted = submission.server or server_id
        return self._pool.get(wanted).id if wanted else None

    async def _with_fresh_node_types(
        self, server: str | None, work: Callable[[Mapping[str, Json]], T]
    ) -> T:
        """Do it with the node types as known; if it fails and they have changed, once more.

        In a thread: a file of thousands of nodes takes its time.
        """
        try:
            return await asyncio.to_thread(work, self._pool.node_types(server))
        except InvalidWorkflow:
            if not await self._pool.refresh(server):
                raise
            return await asyncio.to_thread(work, self._pool.node_types(server))

    async def workflow_of(self, submission: Submission) -> tuple[str | None, Any]:
        """The workflow's JSON, read from its file if it is a saved one, and that file's name."""
        if submission.filename is None:
            return None, submission.workflow
        return await asyncio.to_thread(self._library.read, submission.filename)

    async def get(self, task_id: str) -> Task:
        """Raises TaskNotFound."""
        return await self._store.get(task_id)

    async def prompt(self, task_id: str) -> Json:
        """The graph that the task runs. Raises TaskNotFound."""
        return await self._store.prompt(task_id)

    async def page(
        self, statuses: Collection[Status], limit: int, before: int | None
    ) -> tuple[list[Task], int | None]:
        """Tasks, newest first, and where the next page begins."""
        found = await self._store.page(statuses=statuses, limit=limit + 1, before=before)
        more = len(found) > limit
        return found[:limit], found[limit - 1].seq if more else None

    async def queue(self) -> list[Task]:
        return await self._store.queue()

    async def known(self, task_ids: Collection[str]) -> set[str]:
        """Those of the ids that are tasks of ours."""
        return await self._store.ids_of(task_ids)

    def view(self, task: Task) -> Json:
        """The task as JSON, with live progress."""
        live = None if task.finished else self._dispatcher.progress_of(task.task_id)
        return task_view(task, live)

    async def wait(self, task_id: str, seconds: float) -> Task:
        """The task when it is finished, or as it is after so many seconds."""
        with self._hub.subscribe([task_id]) as updates:
            task = await self._store.get(task_id)
            try:
                async with asyncio.timeout(seconds):
                    while not task.finished:
                        update = await updates.get()
                        if update.type == "status":
                            task = await self._store.get(task_id)
            except (TimeoutError, Overrun, Closed):
                task = await self._store.get(task_id)
        return task

    async def cancel(self, task_id: str) -> Task:
        """Cancel in any state; a finished task stays as it is. Raises TaskNotFound."""
        task = await self._store.request_cancel(task_id)
        if not task.finished:
            self._dispatcher.cancel(task_id, CancelReason.REQUEST)
        self._hub.publish(task_id, "status", self.view(task))
        return task

    async def cancel_queued(self) -> list[str]:
        """Cancel all of ours that have not started; answers their ids."""
        queued = [task for task in await self._store.queue() if task.status is Status.QUEUED]
        for task in queued:
            await self.cancel(task.task_id)
        return [task.task_id for task in queued]

    async def retry(self, task_id: str) -> Task:
        """A new task from the same request. Raises TaskNotFound."""
        old = await self._store.get(task_id)
        webhook = await self._store.webhook(task_id)
        return await self._add(
            NewTask(
                task_id=str(uuid4()),
                prompt=await self._store.prompt(task_id),
                params=old.params,
                metadata=old.metadata,
                filename=old.filename,
                timeout=old.timeout,
                priority=old.priority,
                wanted_server=old.wanted_server,
                retry_of=task_id,
                webhooks=(webhook,) if webhook else (),
            )
        )

    async def delete(self, task_ids: Collection[str] | None) -> list[str]:
        """Forget finished tasks (all, or these) with their files; answers the ids forgotten.

        Raises TaskNotFinished if one of the ids is of a task that still has to end.
        """
        for task_id in task_ids or ():
            if not (await self._store.get(task_id)).finished:
                raise TaskNotFinished(
                    f"Task {task_id} is not finished.",
                    hint=f"Cancel it first: POST /api/task/{task_id}/cancel.",
                )
        removed = await self._store.delete(task_ids)
        for task_id in removed:
            await self._files.delete(task_id)
        return removed

    async def result_file(
        self, filename: str, *, task_id: str | None, subfolder: str | None, type: str | None
    ) -> tuple[Path, str]:
        """Where a result is, and its content type: the newest of that name.

        Raises FileNotFound.
        """
        found = await self._store.find_output(
            filename, task_id=task_id, subfolder=subfolder, type=type
        )
        if found is None or not self._files.exists(found.key or ""):
            raise FileNotFound(
                f"There is no result {filename[:200]!r}.",
                hint="Uploads need type=input; files on a server need server=HOST:PORT.",
            )
        content_type = found.content_type or "application/octet-stream"
        return self._files.path(found.key or ""), content_type

    async def _add(self, new: NewTask) -> Task:
        if self._everywhere is not None:
            new = replace(new, webhooks=(*new.webhooks, self._everywhere))
        task = await self._store.add(new)
        self._hub.publish(task.task_id, "status", task_view(task))
        self._dispatcher.wake()
        return task
