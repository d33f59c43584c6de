"""Stopping one prompt on its server, for a request or because its time is up."""

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from app.runner.messages import CancelRequest
from app.runner.remote_prompt import RemotePrompt
from app.servers.event_inbox import EventInbox
from app.tasks.model import CancelReason, Status, Task, TaskError
from app.tasks.outcome import Canceled

# Seconds in which results are fetched at least, of a prompt that ended though it was to be stopped,
# or just before its time was up
AFTER_CANCEL = 2.0
AFTER_TIMEOUT = 5.0


class Cancellation:
    """Asks the server again and again, until the prompt is seen to be over or `grace` seconds
    have passed."""

    def __init__(self, remote_prompt: RemotePrompt, server_id: str, *, grace: float) -> None:
        self._remote_prompt = remote_prompt
        self._server_id = server_id
        self._grace = grace
        self._until: float | None = None

    @property
    def begun(self) -> bool:
        return self._until is not None

    def time_left(self, task: Task) -> float | None:
        """Seconds until the task's timeout, None if there is none (or it is over already)."""
        if task.timeout is None or task.started_at is None or self.begun:
            return None
        return task.started_at + task.timeout - time.time()

    def time_to_collect(self, task: Task) -> float | None:
        """Seconds for which results may be fetched once the prompt is over; None: any number."""
        if task.status is Status.CANCELING:
            return AFTER_CANCEL
        left = self.time_left(task)
        return None if left is None else max(left, AFTER_TIMEOUT)

    async def begin(self) -> None:
        self._until = time.time() + self._grace
        await self._remote_prompt.cancel()

    async def press_on(self) -> Canceled | None:
        """After a look that found the prompt unfinished."""
        if self._until is None:
            return None
        if time.time() > self._until:
            message = f"{self._server_id} was told to stop the prompt, but still runs it."
            return Canceled(TaskError("cancel_unconfirmed", message))
        # It may have moved from waiting to running between the two halves of the cancel.
        await self._remote_prompt.cancel()
        return None


@dataclass(frozen=True, slots=True)
class Finish:
    """Whether work was done to its end, and why it was to be stopped, if it was."""

    done: bool
    reason: CancelReason | None = None


async def unless_canceled(
    work: Coroutine[Any, Any, None], inbox: EventInbox, seconds: float | None
) -> Finish:
    """Do the work, or as much of it as can be done in so many seconds, and soon after somebody
    wants to cancel: what is done by then need not be lost. Other messages are dropped."""
    working, hearing = asyncio.create_task(work), asyncio.create_task(_cancel_in(inbox))
    both = (working, hearing)
    try:
        await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        reason = hearing.result() if hearing.done() else None
        if reason is not None and not working.done():
            await asyncio.wait([working], timeout=AFTER_CANCEL)
        if working.done():
            working.result()
            return Finish(True, reason)
        return Finish(False, reason or CancelReason.TIMEOUT)
    finally:
        for task in both:
            task.cancel()
        await asyncio.wait(both)


async def _cancel_in(inbox: EventInbox) -> CancelReason:
    while True:
        message = await inbox.get()
        if isinstance(message, CancelRequest):
            return message.reason
