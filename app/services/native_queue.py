"""POST /queue and POST /interrupt of ComfyUI's own protocol: cancels tasks of the caller."""

import time
from collections.abc import Collection, Iterable, Sequence

from app.db.native_stops import NativeStops
from app.db.native_tasks import NativeTasks
from app.services.tasks import TaskService

DELETED_SECONDS = 10.0  # an interrupt so long after a delete of a running task is for that one
# Seconds between the two calls of a client that cancels so: what it wanted may have ended meanwhile
AT_ONCE = 1.0


class NativeQueue:
    """The unfinished native tasks of a caller."""

    def __init__(self, mine: NativeTasks, stops: NativeStops, tasks: TaskService) -> None:
        self._mine = mine
        self._stops = stops
        self._tasks = tasks

    async def delete(self, task_ids: Iterable[object], origin: str) -> None:
        """Cancel those of these tasks that wait. One that runs goes on; an interrupt by the same
        client within the next ten seconds is for it."""
        wanted = {task_id for task_id in task_ids if isinstance(task_id, str)}
        open_ones = await self._mine.unfinished() if wanted else []
        found = [one for one in open_ones if one.task_id in wanted]
        await self._tasks.cancel_all([one.task_id for one in found if not one.is_running])
        if running := [one.task_id for one in found if one.is_running]:
            await self._stops.want(running, origin, time.time())

    async def clear(self) -> None:
        """Cancel all tasks that wait."""
        open_ones = await self._mine.unfinished()
        await self._tasks.cancel_all([one.task_id for one in open_ones if not one.is_running])

    async def cancel(self, task_ids: Sequence[str]) -> bool:
        """Cancel these tasks, whether they run or wait; return whether there was any."""
        open_ones = {one.task_id: one for one in await self._mine.unfinished()}
        found = [open_ones[task_id] for task_id in dict.fromkeys(task_ids) if task_id in open_ones]
        begun = [one.task_id for one in found if not one.is_canceling]
        return (await self._tasks.cancel_all(begun)).count > 0

    async def interrupt(self, origin: str, prompt_id: str | None, client_id: str | None) -> None:
        """Cancel one running task at most.

        `prompt_id`: that one. Else the one that this client has just wanted to delete, and none if
        that has ended since a moment; else the one of `client_id`, or of the same address and
        program, that began first.
        """
        running = sorted(
            (one for one in await self._mine.unfinished() if one.is_running),
            key=lambda one: one.started_at or 0.0,
        )
        if prompt_id is None:
            prompt_id = await self._just_deleted(origin, {one.task_id for one in running})
        if prompt_id is not None:
            chosen = [one for one in running if one.task_id == prompt_id]
        elif client_id is not None:
            chosen = [one for one in running if one.client_id == client_id]
        else:
            chosen = [one for one in running if one.origin == origin]
        for one in chosen[:1]:
            await self._tasks.cancel(one.task_id)

    async def _just_deleted(self, origin: str, running: Collection[str]) -> str | None:
        """Return the task that this client wanted to delete while it ran, if it is meant."""
        now = time.time()
        wanted = await self._stops.wanted(origin, now - DELETED_SECONDS)
        if wanted is None:
            return None
        task_id, at = wanted
        if task_id in running:
            await self._stops.want([task_id], origin, 0.0)  # it is stopped, and no other one
            return task_id
        return task_id if now - at < AT_ONCE else None
