"""Sends the prompt of one task to its server."""

import asyncio
import time
from collections.abc import Mapping
from typing import Any

from app.comfyui.answers import TOO_LARGE, may_be_the_prompts
from app.db.claimed import Claim
from app.errors import ComfyError, ComfyUnreachable, PromptRejected
from app.runner.cache_marks import marked
from app.runner.cancellation import unless_canceled
from app.runner.context import RunContext
from app.runner.paid_node_keys import KEY_GONE
from app.runner.remote_prompt import RemotePrompt, warnings_of
from app.runner.rerouting import before_sending
from app.runner.run_record import RunRecord
from app.runner.stage_inputs import stage_inputs
from app.servers.server import Server
from app.tasks.model import CancelReason, TaskError
from app.tasks.outcome import Canceled, Failed, Lost, Moved, Outcome, interruption
from app.workflows.checks.separators import as_listed
from app.workflows.extra_data import to_send, with_secrets

# Up to this size a prompt is processed in the event loop, above it in a thread
SMALL_PROMPT_NODES = 50


class PromptSender:
    def __init__(
        self,
        claim: Claim,
        server: Server,
        record: RunRecord,
        remote_prompt: RemotePrompt,
        context: RunContext,
        canceled: asyncio.Future[CancelReason],
    ) -> None:
        """`canceled` is resolved when a cancel of the task is requested."""
        self._claim = claim
        self._server = server
        self._record = record
        self._remote_prompt = remote_prompt
        self._context = context
        self._canceled = canceled
        self.asked_at: float | None = None  # since when the POST waits for its answer

    async def send(self) -> Outcome | None:
        """Send the prompt; return None once the server has it, else the outcome of the task.

        Raises what `RemotePrompt.post` raises, except for answers that are not ComfyUI's.
        """
        claim, record, pool = self._claim, self._record, self._context.pool
        about = (pool, self._server, record.task, claim.prompt, claim.needs)
        if len(claim.prompt) > SMALL_PROMPT_NODES:
            to = await asyncio.to_thread(before_sending, *about)
        else:
            to = before_sending(*about)
        if to is not None:
            return Moved(f"{self._server.id} should refuse it.", to)
        secrets = self._context.paid_node_keys.extra_data(record.task)
        if secrets is None:
            return Failed(KEY_GONE)
        try:
            finish = await unless_canceled(self._send(secrets), self._canceled)
            if not finish.done:
                return await self._dropped(finish.reason or CancelReason.REQUEST)
        except PromptRejected:
            raise
        except ComfyError as error:
            if isinstance(error, ComfyUnreachable) and error.answered is None:
                raise
            return await self._not_taken(error)
        return None

    async def _dropped(self, reason: CancelReason) -> Outcome | None:
        """Return the outcome of a canceled task whose POST was not answered.

        Return None if the server has the prompt and can cancel it. A prompt that arrives later is
        swept.
        """
        await self._record.canceling(reason)
        if self._record.is_trying:
            self._server.doubted_at = time.time()
            if await self._remote_prompt.exists():
                return None
        return Canceled(interruption(self._record.task))

    async def _send(self, secrets: Mapping[Any, Any]) -> None:
        claim, record, server = self._claim, self._record, self._server
        spelled = as_listed(claim.prompt, server.node_types)
        uploads = self._context.uploads.of(record.task.owner)
        prompt, record.names = await stage_inputs(spelled, server, uploads)
        extra = with_secrets(to_send(claim.extra, spelled), secrets)
        about = (prompt, extra, record.attempts, server.node_types)
        targets = claim.native_request.targets if claim.native_request else None
        is_small = len(prompt) <= SMALL_PROMPT_NODES
        prompt = marked(*about) if is_small else await asyncio.to_thread(marked, *about)
        async with server.fifo_lock.next():
            await self.note_attempt(server.client_id)
            self.asked_at = time.time()
            try:
                node_errors = await self._remote_prompt.post(prompt, extra, targets)
            except PromptRejected as error:
                said = error.extra.get("node_errors") or {}
                server.refusals.learn(spelled, said, record.task.owner, error.class_type)
                raise
            finally:
                self.asked_at = None
        if server.door.is_failing:
            server.on_change()
        server.door.succeeded()
        if node_errors:
            await record.quote(*warnings_of(node_errors))

    async def _not_taken(self, error: ComfyError) -> Outcome:
        """Return the outcome after an answer that is not ComfyUI's.

        That counts against the server, unless the status may be due to the prompt. The server's
        door is shut, so that other tasks do not fail there in the same way.
        """
        server, task, status = self._server, self._record.task, error.answered
        if not self._record.is_trying:  # the failure occurred while inputs were staged
            await self.note_attempt(server.client_id)
        failure = TaskError(error.code, error.detail)
        if status == TOO_LARGE:  # concerns this prompt only
            return Failed(failure, refused=True)
        is_the_servers = not may_be_the_prompts(status)
        if is_the_servers:
            server.door.shut(error.detail, error.retry_after or 0.0)
        else:
            proven = self._context.run_times.proven(task.shape)
            server.door.failed(task.shape, proven=proven, key=task.owner, why=error.detail)
        if server.door.is_open:
            server.on_change()
            asyncio.get_running_loop().call_later(server.door.left, server.on_change)
        if is_the_servers:
            return Lost("server_lost", error.detail)
        return Failed(failure, not_taken=True)

    async def note_attempt(self, client_id: str) -> None:
        if self._claim.needs.files:
            self._server.warm = self._claim.needs.models
        await self._record.handed_over(self._server.id, client_id)
