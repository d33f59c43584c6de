"""Turns requests into queued tasks, durably, and of a batch all or none."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar
from uuid import uuid4

from app.auth.model import Caller
from app.db.idempotency import IdempotencyKey
from app.db.prompts import extra_of, graph_of
from app.db.queue import Queue
from app.db.run_times import DEFAULT_SECONDS, RunTimes
from app.db.tasks import TaskRepository, TaskTable
from app.errors import InvalidWorkflow, QueueFull
from app.events.hub import Hub
from app.limits.json_types import Json
from app.limits.worker_threads import Workers
from app.runner.paid_node_keys import PaidNodeKeys
from app.scheduler.dispatcher import Dispatcher
from app.scheduler.presenter import TaskPresenter
from app.servers.core_nodes import core_node_types
from app.servers.pool import Pool
from app.servers.queues import check_unknown
from app.services.batches import expand, param_sets
from app.services.eligible_servers import check_faults, check_fit, check_prompt
from app.services.input_files import Check, InputFiles, InputParts, always, may_be_file
from app.services.prepare import Prepared, files_wanted, prepare, to_prompt, with_params
from app.services.submission_request import Queued, Submission
from app.tasks.model import Extra, NewTask, SharedGraph
from app.tasks.truncation import MAX_STREAM_BYTES, shortened
from app.tasks.webhook import Webhook
from app.workflows.checks.foreign_files import Suspect, refusal, suspects_in
from app.workflows.extra_data import along
from app.workflows.formats import Format, unwrap
from app.workflows.references.results import ANYWHERE, OwnAddress, named_in
from app.workflows.requirements import TaskRequirements
from app.workflows.saved.library import Library

T = TypeVar("T")
# The tasks' prompts, the inputs that may name files of other owners, the graph that several tasks
# share, and the extra_data to store.
Made = tuple[list[Prepared], list[Suspect], SharedGraph | None, Extra | None]

TOLD = 50  # publish this many new tasks before yielding to the event loop
LONGEST_RETRY = 60  # seconds; upper bound of Retry-After when the queue is full


@dataclass(frozen=True, slots=True)
class SubmissionParts:
    """The dependencies of a `SubmissionService` that do not depend on the caller.

    `everywhere`: a webhook added to each task; `default_timeout`: seconds.
    """

    hub: Hub
    dispatcher: Dispatcher
    pool: Pool
    library: Library
    run_times: RunTimes
    queue: Queue
    presenter: TaskPresenter
    default_timeout: float | None
    input_files: InputParts
    paid_node_keys: PaidNodeKeys
    workers: Workers
    everywhere: Webhook | None = None

    @property
    def tasks(self) -> TaskTable:
        return self.input_files.tasks


class SubmissionService:
    """Submits workflows for `caller`, who owns the tasks and their files."""

    def __init__(self, parts: SubmissionParts, caller: Caller) -> None:
        self._parts = parts
        self._caller = caller

    @property
    def _store(self) -> TaskRepository:
        return TaskRepository(self._parts.tasks, self._caller)

    async def submit(
        self,
        submission: Submission,
        *,
        server: str | None = None,
        key: IdempotencyKey | None = None,
        check: Check = always,
        here: OwnAddress = ANYWHERE,
    ) -> list[Queued]:
        """Queue a task or a batch. With an idempotency key that was used before, return its tasks.

        `check` is awaited before each file that comes with the request, and raises to abandon the
        rest. `here`: where the client reaches the gateway, for URLs of its files.
        Raises InvalidWorkflow and its subclasses, ServerNotFound, QueueFull and KeyReused; for
        input files also UrlNotAllowed, UrlFailed, PayloadTooLarge and StorageFull.
        """
        if key is not None and (before := await self._store.answered(key)) is not None:
            return [Queued(task) for task in before]
        if submission.prompt_id is not None:
            await check_unknown(self._parts.pool, submission.prompt_id)
        filename, workflow = await self.workflow_of(submission)
        wanted = self._wanted_server(submission, server)
        submission = await self._with_uploads(submission, workflow, wanted, check, here)
        prepared, suspects, graph, extra = await self._prepare(submission, workflow, wanted)
        await self._refuse_foreign_files(suspects)
        batch_id = str(uuid4()) if submission.batch else None
        return await self.add(
            [
                NewTask(
                    task_id=submission.prompt_id or str(uuid4()),
                    prompt=one.prompt,
                    graph=graph,
                    extra=extra,
                    changes=one.changes,
                    requirements=one.requirements,
                    shape=one.shape,
                    params=one.params,
                    warnings=tuple(one.warnings),
                    metadata=submission.metadata,
                    filename=filename,
                    timeout=submission.timeout or self._parts.default_timeout,
                    priority=submission.priority,
                    batch_id=batch_id,
                    webhooks=(submission.webhook,) if submission.webhook else (),
                    needs_paid_node_key=bool(submission.secrets),
                    secrets=submission.secrets,
                    owner=self._caller.name,
                    native=submission.native,
                    native_request=submission.native_request,
                )
                for one in prepared
            ],
            key,
        )

    async def add(self, new: Sequence[NewTask], key: IdempotencyKey | None = None) -> list[Queued]:
        """Queue the tasks with expected run times and webhooks. Raise QueueFull, KeyReused."""
        completed = [self._completed(task) for task in new]
        try:
            with self._parts.paid_node_keys.queueing(new):
                added = await self._store.add(completed, key)
        except QueueFull as error:
            error.extra["retry_after"] = self._until_there_is_room()
            raise
        # An earlier request with the same key made these
        if added[0].task_id != completed[0].task_id:
            self._parts.paid_node_keys.drop(task.task_id for task in new)
            return [Queued(task) for task in added]
        for one in {task.requirements for task in new}:
            self._parts.queue.requirements.know(one.requirements_id, one.needs, one.wanted_server)
        queued: list[Queued] = []
        for task in added:
            if len(queued) % TOLD == TOLD - 1:
                await asyncio.sleep(0)  # let other work run
            view = self._parts.presenter.view(task, None)
            self._parts.hub.publish(task, "status", partial(shortened, view, MAX_STREAM_BYTES))
            queued.append(Queued(task, view))
        self._parts.dispatcher.wake()
        return queued

    async def convert(self, submission: Submission, server: str | None = None) -> Prepared:
        """Return the workflow as a prompt with its parameters set, without queueing it.

        Raises as `submit` does, except for node types that no server has: a warning names those.
        """
        _, workflow = await self.workflow_of(submission)
        wanted = self._wanted_server(submission, server)

        def work(node_types: Mapping[str, Json]) -> Prepared:
            found = to_prompt(workflow, node_types)
            options = submission.randomize, submission.fill_texts
            return with_params(found, submission.params, node_types, *options)

        return await self._with_fresh_node_types(wanted, work)

    async def workflow_of(self, submission: Submission) -> tuple[str | None, Any]:
        """Return the file name of a saved workflow (or None) and the workflow's JSON."""
        if submission.filename is None:
            return None, submission.workflow
        return await self._parts.workers.run(self._parts.library.read, submission.filename)

    async def _with_uploads(
        self,
        submission: Submission,
        workflow: Any,
        wanted: str | None,
        check: Check,
        here: OwnAddress,
    ) -> Submission:
        """Return the submission with upload names in place of URLs, data, files and results."""
        params, batch = submission.params, submission.batch or {}
        in_graph = await self._parts.workers.unless(submission.is_small, named_in, workflow)
        values = chain(params.values(), *batch.values())
        if not in_graph and not any(may_be_file(value) for value in values):
            return submission
        if batch:  # raises for an invalid batch before anything is fetched
            expand(params, batch, submission.batch_mode)
        found, kinds = await self._with_fresh_node_types(
            wanted,
            lambda node_types: files_wanted(workflow, [*params, *batch], node_types),
            small=submission.is_small,
        )
        input_files = InputFiles(self._parts.input_files, self._caller, here)
        params, batch = await input_files.resolve({**found, **params}, batch, kinds, check)
        return replace(submission, params=params, batch=batch or None)

    async def _prepare(self, submission: Submission, workflow: Any, wanted: str | None) -> Made:
        servers = [self._parts.pool.get(wanted)] if wanted else list(self._parts.pool)
        lenient = submission.wait_for_server

        def work(node_types: Mapping[str, Json]) -> Made:
            sets = param_sets(submission.params, submission.batch, submission.batch_mode)
            shared, hook = len(sets) > 1, submission.webhook
            found = prepare(
                *(workflow, sets, node_types),
                lenient=lenient,
                shared=shared,
                randomize=submission.randomize,
                fill_texts=submission.fill_texts,
                each=[submission.metadata, hook and [hook.url, hook.headers, hook.secret]],
                wanted_server=wanted,
            )
            # A UI file cannot be converted without its node types: only its model files may be
            # missing.
            if not lenient or unwrap(workflow)[0] is Format.UI:
                for one in {one.requirements: one for one in found}.values():
                    check_fit(one, servers, any_file=lenient)
            check_faults(found, servers)
            known = node_types or core_node_types()
            extra = along(
                *(submission.extra_data, workflow),
                [(one.prompt, one.changes) for one in found],
                known,
                embed=submission.embed_workflow,
                follows=found[0].from_templates,
            )
            for one in found:
                one.warnings.extend((*submission.warnings, *extra.warnings))
            changes = chain.from_iterable(one.changes for one in found)
            return (
                found,
                suspects_in(found[0].prompt, changes, known),  # all tasks share this prompt
                graph_of(found[0].prompt, self._caller.name) if shared else None,
                extra_of(extra.stored, self._caller.name) if extra.stored else None,
            )

        return await self._with_fresh_node_types(wanted, work, small=submission.is_small)

    async def refuse_faulty(self, prompt: Json, requirements: TaskRequirements) -> None:
        """Raise InvalidWorkflow if every server that could run the prompt would refuse it."""
        wanted = requirements.wanted_server
        servers = [one for one in self._parts.pool if wanted in (None, one.id)]
        await self._with_fresh_node_types(
            None, lambda _: check_prompt(prompt, requirements, servers)
        )

    async def _refuse_foreign_files(self, suspects: Sequence[Suspect]) -> None:
        """Raise InvalidWorkflow if the prompt names files on servers that are not the client's."""
        uploads = self._parts.input_files.assets.uploads
        for suspect in suspects:
            if suspect.sort in ("elsewhere", "made") and self._caller.is_unrestricted:
                continue
            is_placed = suspect.sort == "placed"
            if not is_placed or not await uploads.of(self._caller.name).may_name(suspect.text):
                raise refusal(suspect)

    def _wanted_server(self, submission: Submission, server: str | None) -> str | None:
        """Return the id of the requested server. Raise ServerNotFound."""
        wanted = submission.server or server
        return self._parts.pool.get(wanted).id if wanted else None

    async def _with_fresh_node_types(
        self, server: str | None, work: Callable[[Mapping[str, Json]], T], *, small: bool = False
    ) -> T:
        """Call `work` with the known node types; if it fails and they have changed, call it once
        more.

        Runs in a thread unless it is small: a file of thousands of nodes takes long to convert.
        """
        pool, unless = self._parts.pool, self._parts.workers.unless
        try:
            return await unless(small, work, pool.node_types(server))
        except InvalidWorkflow:
            if not await pool.refresh(server):
                raise
            return await unless(small, work, pool.node_types(server))

    def _completed(self, task: NewTask) -> NewTask:
        """Return the task with its expected run time and the gateway's webhook added."""
        known = self._parts.run_times.known(task.shape, task.requirements.wanted_server)
        expected = known.seconds if known else None
        webhooks = (
            (*task.webhooks, self._parts.everywhere) if self._parts.everywhere else task.webhooks
        )
        return replace(task, expected=expected, webhooks=webhooks)

    def _until_there_is_room(self) -> int:
        """Return the seconds until a server should have finished a task."""
        servers = max(len(self._parts.pool.online()), 1)
        seconds = (self._parts.run_times.average or DEFAULT_SECONDS) / servers
        return min(max(round(seconds), 1), LONGEST_RETRY)
