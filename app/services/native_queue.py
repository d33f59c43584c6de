"""POST /queue and POST /interrupt of ComfyUI's own protocol: cancels tasks of the caller."""

from collections.abc import Iterable, Sequence

from app.db.native_tasks import NativeTasks
from app.services.native_memory import NativeMemory
from app.services.tasks import TaskService


class NativeQueue:
    """The unfinished native tasks of a caller, whose key is named `owner`."""

    def __init__(
        self, mine: NativeTasks, tasks: TaskService, memory: NativeMemory, owner: str | None
    ) -> None:
        self._mine = mine
        self._tasks = tasks
        self._memory = memory
        self._owner = owner

    async def delete(self, task_ids: Iterable[object], origin: str) -> None:
        """Cancel those of these tasks that wait. One that runs goes on; an interrupt by the same
        client within the next ten seconds is for it."""
        wanted = {task_id for task_id in task_ids if isinstance(task_id, str)}
        open_ones = await self._mine.unfinished() if wanted else []
        found = [one for one in open_ones if one.task_id in wanted]
        await self._tasks.cancel_all([one.task_id for one in found if not one.is_running])
        for one in found:
            if one.is_running:
                self._memory.note_tried(self._owner, origin, one.task_id)

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

        `prompt_id`: that one. Else the one that this client has just wanted to delete; else the one
        of `client_id`, or of the same address and program, that began first.
        """
        running = sorted(
            (one for one in await self._mine.unfinished() if one.is_running),
            key=lambda one: one.started_at or 0.0,
        )
        if prompt_id is None:
            prompt_id = self._memory.take_tried(self._owner, origin)
        if prompt_id is not None:
            chosen = [one for one in running if one.task_id == prompt_id]
        elif client_id is not None:
            chosen = [one for one in running if one.client_id == client_id]
        else:
            chosen = [one for one in running if one.origin == origin]
        for one in chosen[:1]:
            await self._tasks.cancel(one.task_id)
