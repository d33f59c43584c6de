"""Paging of lists.

A cursor is the number of the last row of the previous page, as text. Tasks are read in parts, so
that only a part of a page is in memory in full.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Query

from app.errors import GatewayError, InvalidInput
from app.limits.quoting import quoted
from app.tasks.model import Task

T = TypeVar("T")
PAGE_PART_TASKS = 50  # tasks per read
LARGEST = 2**31 - 1  # the limit of the columns (app/db/tables.py)
PATTERN = "^[0-9]{1,10}$"
_HINT = "Use next_cursor as it was given."


def position(cursor: str, unreadable: type[GatewayError] = InvalidInput) -> int:
    """Return the number of a cursor.

    Raises `unreadable` for an invalid one, and InvalidInput for one out of range, which PostgreSQL
    would refuse and SQLite would not find.
    """
    if not cursor.isascii() or not cursor.isdigit():
        raise unreadable(f"cursor: {quoted(cursor)} is none of ours.", hint=_HINT)
    if len(cursor) > 10 or int(cursor) > LARGEST:
        raise InvalidInput(f"cursor: {quoted(cursor)} is out of range.", hint=_HINT)
    return int(cursor)


async def _before(
    cursor: Annotated[
        str | None,
        Query(
            description="`next_cursor` of the page before.", json_schema_extra={"pattern": PATTERN}
        ),
    ] = None,
) -> int | None:
    return None if cursor is None else position(cursor)


Before = Annotated[int | None, Depends(_before)]

# Maps the maximum number and the position to tasks and the position of the next ones.
Read = Callable[[int, int | None], Awaitable[tuple[list[Task], int | None]]]


async def tasks_json(
    read: Read, view: Callable[[Task], T], limit: int, before: int | None = None
) -> tuple[list[T], int | None]:
    """Return views of at most `limit` tasks, and the start of the next page."""
    views: list[T] = []
    while True:
        tasks, before = await read(min(PAGE_PART_TASKS, limit - len(views)), before)
        views += map(view, tasks)
        if before is None or len(views) >= limit:
            return views, before
