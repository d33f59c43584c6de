"""Stopping one prompt on its server, for a request or because its time is up."""

import time

from app.tasks.handover import Reach
from app.tasks.model import Task, TaskError
from app.tasks.outcome import Canceled


class Canceling:
    """Asks the server again and again, until the prompt is seen to be over or `grace` seconds
    have passed."""

    def __init__(self, reach: Reach, server_id: str, *, grace: float) -> None:
        self._reach = reach
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

    async def begin(self) -> None:
        self._until = time.time() + self._grace
        await self._reach.cancel()

    async def press_on(self) -> Canceled | None:
        """After a look that found the prompt unfinished."""
        if self._until is None:
            return None
        if time.time() > self._until:
            message = f"{self._server_id} was told to stop the prompt, but still runs it."
            return Canceled(TaskError("cancel_unconfirmed", message))
        # It may have moved from waiting to running between the two halves of the cancel.
        await self._reach.cancel()
        return None
