"""Writes to a task's row while it runs."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial

from app.comfyui.cleaning import cut
from app.db.claims import Claims
from app.db.run_steps import Unsaved
from app.db.run_times import RunTime
from app.files.staged_names import readable
from app.limits import text_lengths
from app.limits.periodic import attempt, cancel_all, to_its_end
from app.runner.paid_node_keys import PaidNodeKeys
from app.tasks.model import Attempt, CancelReason, Output, Status, Task

SHORT = 0.05  # seconds; a task of a shape that takes less should end before its start is written
LONGEST_WAIT = 0.2  # seconds that the start of such a task may stay unwritten


class RunRecord:
    """The task of one run, as stored. All methods that write raise LostClaim.

    `outputs` returns the results so far; `tell` is called when the status or the warnings change.

    If the shape `took` less than SHORT before, start and results are kept back for the transaction
    that writes the end. If that does not come in LONGEST_WAIT, or anything else is written, they
    are written before. Nothing is told before it is written, and a task that is taken over in
    between is like one whose start was not heard.
    """

    def __init__(
        self,
        task: Task,
        claims: Claims,
        paid_node_keys: PaidNodeKeys,
        outputs: Callable[[], Sequence[Output]],
        tell: Callable[[], None],
        *,
        took: RunTime | None = None,
    ) -> None:
        self.task = task
        self.attempts = list(task.attempts)
        self.names: dict[str, str] = {}  # names of uploads by their names on the server
        self._claims = claims
        self._paid_node_keys = paid_node_keys
        self._outputs = outputs
        self._tell = tell
        self.unsaved: Unsaved | None = None
        self._untold: list[tuple[Output, Callable[[], None]]] = []  # results kept back
        self._failed: Exception | None = None
        is_short = took is not None and took.seconds < SHORT
        self._may_wait = is_short and task.timeout is None  # whether anything may be kept back
        self._one_at_a_time = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._saving: asyncio.Task[object] | None = None

    @property
    def is_trying(self) -> bool:
        """Whether an attempt is in progress."""
        return bool(self.attempts) and self.attempts[-1].ended_at is None

    async def handed_over(self, server_id: str, client_id: str) -> None:
        """Record the attempt before the POST: after a crash this server is checked first."""
        if not self.is_trying:
            self.attempts.append(Attempt(server_id, time.time()))
        attempts = self.attempts
        await self._now(
            lambda task: self._claims.submitted(task, client_id=client_id, attempts=attempts)
        )

    async def started(self, began: float | None = None) -> None:
        """Record the start: now, or `began` by the server's clock, which may be off."""
        if self.task.started_at is not None or (self.unsaved and self._may_wait):
            return
        now = time.time()
        # When a task is taken up again its `submitted_at` is rewritten, but not its attempt.
        earliest = self.attempts[-1].started_at if self.attempts else self.task.created_at
        since = now if began is None else min(max(began, earliest), now)
        self.unsaved = self.unsaved or Unsaved(since)
        if self._may_wait:
            self._timer = asyncio.get_running_loop().call_later(LONGEST_WAIT, self._save_late)
        else:
            await self.save()

    def keep_back(self, output: Output, tell: Callable[[], None]) -> bool:
        """Keep a result back if the start is; `tell` is called when both are written."""
        if not (self.unsaved and self._may_wait):
            return False
        self.unsaved = replace(self.unsaved, outputs=(*self.unsaved.outputs, output))
        self._untold.append((output, tell))
        return True

    async def add_output(self, output: Output) -> None:
        async with self._one_at_a_time:
            await self._save()
            await self._claims.add_output(self.task.task_id, output)

    async def save(self) -> None:
        """Write what is kept back."""
        async with self._one_at_a_time:
            await self._save()

    async def prepare_end(self, *, at_once: bool) -> None:
        """Write what is kept back, or with `at_once` leave it to the end, if there still is any."""
        self._stop_waiting()
        if not (at_once and self._may_wait):
            await self.save()

    def end(self, task: Task) -> None:
        """Take over the task as its end was written, and tell of it."""
        if self.unsaved is not None and task.finished:
            if task.cancel_reason is None:  # else it was canceled before it was told to run
                began = self.unsaved.began
                self.task = replace(self.task, status=Status.RUNNING, started_at=began)
                self._tell()
            self._say_saved(task.outputs)
        self.task = task
        self._tell()

    async def close(self) -> None:
        self._stop_waiting()
        await cancel_all([self._saving] if self._saving else [])

    async def canceling(self, reason: CancelReason) -> None:
        reason = self.task.cancel_reason or reason
        await self._now(lambda task: self._claims.cancel_owned(task, reason))
        self._tell()

    async def warn(self, *warnings: str) -> None:
        """Add warnings that the task does not have yet."""
        before = self.task.warnings
        new = dict.fromkeys(cut(text, text_lengths.WARNING) for text in warnings)
        told = [*before, *(text for text in new if text not in before)][: text_lengths.WARNINGS]
        if len(told) > len(before):
            await self._now(lambda task: self._claims.warn(task, told))
            self._tell()

    async def quote(self, *said: str) -> None:
        """Add warnings that quote ComfyUI, with uploads under their original names and without
        keys."""
        texts = (readable(text, self.names) for text in said)
        await self.warn(*(self._paid_node_keys.hidden(self.task, text) for text in texts))

    async def _now(self, change: Callable[[Task], Awaitable[Task]]) -> None:
        """Await a write and take over the resulting task, with the results so far."""
        async with self._one_at_a_time:
            await self._save()
            self.task = replace(await change(self.task), outputs=tuple(self._outputs()))

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _save_late(self) -> None:
        self._may_wait = False
        saving = partial(attempt, self.save, f"task {self.task.task_id}: writing its start")
        self._saving = asyncio.create_task(saving())

    async def _save(self) -> None:
        if self._failed is not None:
            raise self._failed  # not repeated: it may be written, and would be twice
        if self.unsaved is not None:
            self._may_wait = False
            try:
                # To its end even if the caller is cancelled: what is stored is told
                await to_its_end(self._write(self.unsaved))
            except Exception as error:
                self._failed, self.unsaved = error, None
                raise

    async def _write(self, unsaved: Unsaved) -> None:
        self.task = await self._claims.started(self.task, unsaved.began, unsaved.outputs)
        self._tell()
        self._say_saved(unsaved.outputs)
        self.task = replace(self.task, outputs=tuple(self._outputs()))

    def _say_saved(self, outputs: Sequence[Output]) -> None:
        self.unsaved, untold, self._untold = None, self._untold, []
        for output, tell in untold:
            if output in outputs:
                tell()
