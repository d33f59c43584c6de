"""Pages of tasks: read in parts, so that no more than a part of them is in memory whole."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.tasks.model import Task

T = TypeVar("T")
PAGE_PART_TASKS = 50  # tasks

# From how many there may be, and where to go on, to tasks and where the next ones begin.
Read = Callable[[int, int | None], Awaitable[tuple[list[Task], int | None]]]


async def tasks_json(
    read: Read, view: Callable[[Task], T], limit: int, before: int | None = None
) -> tuple[list[T], int | None]:
    """Views of so many tasks at most, and where the next page begins."""
    views: list[T] = []
    while True:
        tasks, before = await read(min(PAGE_PART_TASKS, limit - len(views)), before)
        views += map(view, tasks)
        if before is None or len(views) >= limit:
            return views, before
