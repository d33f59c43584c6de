"""Sends the prompt of one task to its server."""

import asyncio

from app.errors import PromptRejected
from app.servers.server import Server
from app.tasks.api_keys import KEY_GONE
from app.tasks.elsewhere import before_sending, kind_of
from app.tasks.handover import Reach, warnings_of, without_cache
from app.tasks.inputs import place_inputs
from app.tasks.outcome import Failed, Moved, Outcome
from app.tasks.queue import Claim
from app.tasks.record import Record
from app.tasks.tools import Tools
from app.workflows.extra_data import to_send, with_secrets
from app.workflows.separators import as_listed

SMALL = 50  # nodes of a prompt that is looked over in a moment


class Sender:
    def __init__(
        self, claim: Claim, server: Server, record: Record, reach: Reach, tools: Tools
    ) -> None:
        self._claim = claim
        self._server = server
        self._record = record
        self._reach = reach
        self._tools = tools

    async def send(self) -> Outcome | None:
        """None once the server has it; else the task's end. Raises what `Reach.post` does."""
        claim, record, pool = self._claim, self._record, self._tools.pool
        about = (pool, self._server, record.task, claim.prompt, claim.needs)
        if len(claim.prompt) > SMALL:
            to = await asyncio.to_thread(before_sending, *about)
        else:
            to = before_sending(*about)
        if to is not None:
            return Moved(f"{self._server.id} should refuse it.", to)
        spelled = as_listed(claim.prompt, self._server.node_types)
        secrets = self._tools.api_keys.extra_data(record.task)
        if secrets is None:
            return Failed(KEY_GONE)
        uploads = self._tools.uploads.of(record.task.key_name)
        prompt, record.names = await place_inputs(spelled, self._server, uploads)
        prompt = without_cache(prompt, record.attempts, self._server.node_types)
        async with self._server.turns.next():
            await self.note_attempt(self._server.client_id)
            extra = with_secrets(to_send(claim.extra, spelled), secrets)
            try:
                node_errors = await self._reach.post(prompt, extra)
            except PromptRejected as error:
                said = error.extra.get("node_errors") or {}
                self._server.refusals.learn(spelled, said, kind_of(record.task))
                raise
        if node_errors:
            await record.quote(*warnings_of(node_errors))
        return None

    async def note_attempt(self, client_id: str) -> None:
        if self._claim.needs.files:
            self._server.warm = self._claim.needs.models
        await self._record.handed_over(self._server.id, client_id)
