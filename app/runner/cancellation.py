"""Cancellation of one prompt on its server, on request or at the task's timeout."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import dataclass

from app.runner.remote_prompt import RemotePrompt
from app.tasks.model import CancelReason, Status, Task, TaskError
from app.tasks.outcome import Canceled

GRACE_SECONDS = 120.0  # how long a cancel may have no effect
# Minimum time in seconds to fetch the results of a prompt that finished although it was being
# canceled, or that finished just before its timeout
AFTER_CANCEL = 2.0
AFTER_TIMEOUT = 5.0


class Cancellation:
    """Repeats the cancel until the prompt is over or GRACE_SECONDS have passed."""

    def __init__(self, remote_prompt: RemotePrompt, server_id: str) -> None:
        self._remote_prompt = remote_prompt
        self._server_id = server_id
        self._until: float | None = None

    @property
    def begun(self) -> bool:
        return self._until is not None

    def time_left(self, task: Task) -> float | None:
        """Return the seconds until the task's timeout; None if it has none or is being canceled."""
        if task.timeout is None or task.started_at is None or self.begun:
            return None
        return task.started_at + task.timeout - time.time()

    def time_to_collect(self, task: Task) -> float | None:
        """Return the seconds for fetching results once the prompt is over; None for no limit."""
        if task.status is Status.CANCELING:
            return AFTER_CANCEL
        left = self.time_left(task)
        return None if left is None else max(left, AFTER_TIMEOUT)

    async def begin(self) -> None:
        self._until = time.time() + GRACE_SECONDS
        await self._remote_prompt.cancel()

    async def press_on(self) -> Canceled | None:
        """Cancel again as the prompt is still unfinished; return the outcome after `grace`."""
        if self._until is None:
            return None
        if time.time() > self._until:
            message = f"{self._server_id} was told to stop the prompt, but still runs it."
            return Canceled(TaskError("cancel_unconfirmed", message))
        # The prompt may have moved from pending to running between the two requests of the cancel.
        await self._remote_prompt.cancel()
        return None


@dataclass(frozen=True, slots=True)
class Finish:
    """Whether the work completed, and the reason of the cancel if there was one."""

    done: bool
    reason: CancelReason | None = None


async def unless_canceled(
    work: Awaitable[None], asked: asyncio.Future[CancelReason] | None, seconds: float | None = None
) -> Finish:
    """Await `work` for at most `seconds`, and for AFTER_CANCEL seconds once `asked` is resolved.

    The short wait after a cancel keeps results that are almost complete. `asked` is None if a
    cancel has been requested before.
    """
    scope, done, is_over = asyncio.timeout(seconds), False, False

    def hurry(_: object) -> None:
        if not (is_over or scope.expired()):  # it is called in the next turn of the loop
            scope.reschedule(asyncio.get_running_loop().time() + AFTER_CANCEL)

    try:
        async with scope:
            if asked is not None:
                asked.add_done_callback(hurry)
            try:
                await work
                done = True
            finally:
                is_over = True
                if asked is not None:
                    asked.remove_done_callback(hurry)
    except TimeoutError:
        if not scope.expired():
            raise
    reason = asked.result() if asked is not None and asked.done() else None
    return Finish(done, reason if done else reason or CancelReason.TIMEOUT)
