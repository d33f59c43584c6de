"""Writes to a task's row while it runs."""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from app.comfyui.cleaning import cut
from app.db.claims import Claims
from app.files.staged_names import readable
from app.limits import text_lengths
from app.runner.paid_node_keys import PaidNodeKeys
from app.tasks.model import Attempt, CancelReason, Output, Task


class RunRecord:
    """The task of one run, as stored. All methods that write raise LostClaim.

    `outputs` returns the results so far; `tell` is called when the status or the warnings change.
    """

    def __init__(
        self,
        task: Task,
        claims: Claims,
        paid_node_keys: PaidNodeKeys,
        outputs: Callable[[], Sequence[Output]],
        tell: Callable[[], None],
    ) -> None:
        self.task = task
        self.attempts = list(task.attempts)
        self.names: dict[str, str] = {}  # names of uploads by their names on the server
        self._claims = claims
        self._paid_node_keys = paid_node_keys
        self._outputs = outputs
        self._tell = tell

    @property
    def is_trying(self) -> bool:
        """Whether an attempt is in progress."""
        return bool(self.attempts) and self.attempts[-1].ended_at is None

    async def handed_over(self, server_id: str, client_id: str) -> None:
        """Record the attempt before the POST: after a crash this server is checked first."""
        if not self.is_trying:
            self.attempts.append(Attempt(server_id, time.time()))
        attempts = self.attempts
        await self._now(self._claims.submitted(self.task, client_id=client_id, attempts=attempts))

    async def started(self, began: float | None = None) -> None:
        """Record the start: now, or `began` by the server's clock, which may be off."""
        if self.task.started_at is not None:
            return
        now = time.time()
        # When a task is taken up again its `submitted_at` is rewritten, but not its attempt.
        earliest = self.attempts[-1].started_at if self.attempts else self.task.created_at
        since = now if began is None else min(max(began, earliest), now)
        await self._now(self._claims.started(self.task, since))
        self._tell()

    async def canceling(self, reason: CancelReason) -> None:
        reason = self.task.cancel_reason or reason
        await self._now(self._claims.cancel_owned(self.task, reason))
        self._tell()

    async def warn(self, *warnings: str) -> None:
        """Add warnings that the task does not have yet."""
        before = self.task.warnings
        new = dict.fromkeys(cut(text, text_lengths.WARNING) for text in warnings)
        told = [*before, *(text for text in new if text not in before)][: text_lengths.WARNINGS]
        if len(told) > len(before):
            await self._now(self._claims.warn(self.task, told))
            self._tell()

    async def quote(self, *said: str) -> None:
        """Add warnings that quote ComfyUI, with uploads under their original names and without
        keys."""
        texts = (readable(text, self.names) for text in said)
        await self.warn(*(self._paid_node_keys.hidden(self.task, text) for text in texts))

    async def _now(self, change: Awaitable[Task]) -> None:
        """Await a write and take over the resulting task, with the results so far."""
        self.task = replace(await change, outputs=tuple(self._outputs()))
