"""Tasks whose end could not be written: released to be taken up again, or given up.

While the database is unavailable or full a task is released, any number of times. A task whose end
can never be stored, or whose writes failed MAX_TRIES times for another reason, is failed with the
gateway's own error only. So no task occupies its slot for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from app.db.claims import Claims
from app.db.engine.errors import is_away, is_data_error
from app.db.run_steps import LostClaim
from app.errors import ComfyError
from app.limits.lru_cache import BoundedCache
from app.limits.periodic import attempt
from app.servers.server import Server
from app.tasks.model import Task
from app.tasks.outcome import unwritable

log = logging.getLogger(__name__)

MAX_TRIES = 5
MAX_COUNTED_TASKS = 1000  # tasks whose failed writes are counted
RETRY_INTERVAL = 1.0  # seconds between two attempts to write


class FailedSaves:
    """Handles tasks whose end could not be written; calls `tell` with each task that it gave up."""

    def __init__(self, claims: Claims, tell: Callable[[Task], None]) -> None:
        self._claims = claims
        self._tell = tell
        self._tries: BoundedCache[str, int] = BoundedCache(
            MAX_COUNTED_TASKS
        )  # failed writes by task_id, of tasks that this process owns
        self._idle: set[str] = set()  # owned tasks that no run drove at the last look

    def is_over(self, task_id: str) -> None:
        """Forget the failed writes of a task that has ended or has another owner."""
        self._tries.discard(task_id)

    async def after(self, task: Task, error: Exception, server: Server | None = None) -> None:
        """Release or give up a task whose end could not be written.

        Returns when this process no longer owns the task. `server`: where its prompt may still run.
        """
        if not is_away(error):
            self._tries.put(task.task_id, (self._tries.get(task.task_id) or 0) + 1)
        if is_data_error(error) or (self._tries.get(task.task_id) or 0) >= MAX_TRIES:
            await self._insist(lambda: self._give_up(task, error), task.task_id)
            self.is_over(task.task_id)
            if server is not None:
                with suppress(ComfyError):  # an unreachable server is swept when it is back
                    await server.client.cancel(task.task_id)
        else:
            await self.let_go(task.task_id)

    async def let_go(self, task_id: str) -> None:
        """Release the task, so that this process or another one can take it up again."""
        await self._insist(lambda: self._claims.let_go(task_id), task_id)

    async def free_the_idle(self, driven: Collection[str]) -> None:
        """Release tasks that are owned by this process but not driven, at two looks in a row.

        They were claimed in a transaction whose commit looked failed. `driven`: ids of the driven
        tasks.
        """
        idle = await self._claims.driven() - set(driven)
        lost = idle & self._idle
        # What is let go may be claimed anew by the next look, which then is its first.
        self._idle = idle - lost
        for task_id in lost:
            log.warning("task %s is ours, and nobody drives it", task_id)
            await self._claims.let_go(task_id)

    async def _give_up(self, task: Task, error: Exception) -> None:
        failed = unwritable(reason_of(error)).error
        self._tell(await self._claims.give_up(task, failed))

    async def _insist(self, write: Callable[[], Awaitable[None]], task_id: str) -> None:
        """Retry `write` every RETRY_INTERVAL seconds until it succeeds or the claim is lost."""

        async def write_ours() -> None:
            with suppress(LostClaim):
                await write()

        failed: type[Exception] | None = Exception
        while failed is not None:
            await asyncio.sleep(RETRY_INTERVAL)
            failed = await attempt(write_ours, f"letting go of task {task_id}", failed)


def reason_of(error: Exception) -> str:
    """Return a storable description: the error's own text may be what cannot be stored."""
    detail = getattr(error, "detail", None) if is_data_error(error) else None
    return str(detail) if detail else f"{type(error).__name__}; the log of the gateway has more."
