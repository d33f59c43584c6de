"""What is written of a task while it runs, and told with it."""

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
    """The task of one run, as its row says. `outputs`: the results that it has by now; `tell` is
    called when its status or its warnings are others than before. All raise LostClaim."""

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
        self.names: dict[str, str] = {}  # of uploads, by those that they have on the server
        self._claims = claims
        self._paid_node_keys = paid_node_keys
        self._outputs = outputs
        self._tell = tell

    @property
    def is_trying(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self.attempts) and self.attempts[-1].ended_at is None

    async def handed_over(self, server_id: str, client_id: str) -> None:
        """Written before it is there: after a crash of ours this server is looked at first."""
        if not self.is_trying:
            self.attempts.append(Attempt(server_id, time.time()))
        attempts = self.attempts
        await self._now(self._claims.submitted(self.task, client_id=client_id, attempts=attempts))

    async def started(self, began: float | None = None) -> None:
        """It runs, since now or since it `began` by its server's clock, which may be off."""
        if self.task.started_at is not None:
            return
        now = time.time()
        # Who takes a task up again writes anew when it was handed over, but not its attempt.
        earliest = self.attempts[-1].started_at if self.attempts else self.task.created_at
        since = now if began is None else min(max(began, earliest), now)
        await self._now(self._claims.started(self.task, since))
        self._tell()

    async def canceling(self, reason: CancelReason) -> None:
        reason = self.task.cancel_reason or reason
        await self._now(self._claims.cancel_owned(self.task, reason))
        self._tell()

    async def warn(self, *warnings: str) -> None:
        """Add these, but none twice."""
        before = self.task.warnings
        new = dict.fromkeys(cut(text, text_lengths.WARNING) for text in warnings)
        told = [*before, *(text for text in new if text not in before)][: text_lengths.WARNINGS]
        if len(told) > len(before):
            await self._now(self._claims.warn(self.task, told))
            self._tell()

    async def quote(self, *said: str) -> None:
        """The same of what ComfyUI said: uploads under their own names, and without secrets."""
        texts = (readable(text, self.names) for text in said)
        await self.warn(*(self._paid_node_keys.hidden(self.task, text) for text in texts))

    async def _now(self, change: Awaitable[Task]) -> None:
        """The task is as this says once it is written, with the results that it has by then."""
        self.task = replace(await change, outputs=tuple(self._outputs()))
