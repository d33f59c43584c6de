"""Tasks whose end could not be written: let go and taken up again, or given up.

While the database is away or full a task is let go, however often: it goes on when there is room.
What can never be written, and what failed MAX_TRIES times for whatever other reason, is ended with
nothing but our own words in it. So no task holds its slot for ever.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress

from app.db.claims import Claims, LostClaim
from app.db.engine.errors import is_away, is_data_error
from app.errors import ComfyError
from app.limits.lru_cache import BoundedCache
from app.limits.periodic import attempt
from app.servers.server import Server
from app.tasks.model import Task
from app.tasks.outcome import unwritable

log = logging.getLogger(__name__)

MAX_TRIES = 5
MAX_COUNTED_TASKS = 1000  # tasks of which they are counted
RETRY_INTERVAL = 1.0  # seconds between two of them


class FailedSaves:
    """`tell`: what to do with a task that was given up."""

    def __init__(self, claims: Claims, tell: Callable[[Task], None]) -> None:
        self._claims = claims
        self._tell = tell
        self._tries: BoundedCache[str, int] = BoundedCache(
            MAX_COUNTED_TASKS
        )  # by task_id, of what is ours now
        self._idle: set[str] = set()  # ours, and driven by nobody, at the last look

    def is_over(self, task_id: str) -> None:
        """The task has ended, or is somebody else's."""
        self._tries.discard(task_id)

    async def after(self, task: Task, error: Exception, server: Server | None = None) -> None:
        """See to a task after its end could not be written, until it is not ours any more.
        `server`: where its prompt may still be."""
        if not is_away(error):
            self._tries.put(task.task_id, (self._tries.get(task.task_id) or 0) + 1)
        if is_data_error(error) or (self._tries.get(task.task_id) or 0) >= MAX_TRIES:
            await self._insist(lambda: self._give_up(task, error), task.task_id)
            self.is_over(task.task_id)
            if server is not None:
                with suppress(ComfyError):  # it is swept when it is back
                    await server.client.cancel(task.task_id)
        else:
            await self.let_go(task.task_id)

    async def let_go(self, task_id: str) -> None:
        """Make it free to be taken up again, by us or others."""
        await self._insist(lambda: self._claims.let_go(task_id), task_id)

    async def free_the_idle(self, driven: Collection[str]) -> None:
        """Let go of what is ours and driven by nobody, at two looks: it was claimed in a
        transaction that we took for lost. `driven`: the ids of what we drive."""
        idle = await self._claims.driven() - set(driven)
        lost, self._idle = idle & self._idle, idle
        for task_id in lost:
            log.warning("task %s is ours, and nobody drives it", task_id)
            await self._claims.let_go(task_id)

    async def _give_up(self, task: Task, error: Exception) -> None:
        failed = unwritable(reason_of(error)).error
        self._tell(await self._claims.give_up(task, failed))

    async def _insist(self, write: Callable[[], Awaitable[None]], task_id: str) -> None:
        """Try it every RETRY_INTERVAL seconds until it is written, or the claim is lost."""

        async def write_ours() -> None:
            with suppress(LostClaim):
                await write()

        failed: type[Exception] | None = Exception
        while failed is not None:
            await asyncio.sleep(RETRY_INTERVAL)
            failed = await attempt(write_ours, f"letting go of task {task_id}", failed)


def reason_of(error: Exception) -> str:
    """In our own words: it is to be writable whatever the error says."""
    detail = getattr(error, "detail", None) if is_data_error(error) else None
    return str(detail) if detail else f"{type(error).__name__}; the log of the gateway has more."
