"""Cursors of lists: the number of the last row of the page before, as text."""

from typing import Annotated

from fastapi import Depends, Query

from app.errors import GatewayError, InvalidInput
from app.limits.quoting import quoted

LARGEST = 2**31 - 1  # what the columns hold (app/db/tables.py)
PATTERN = "^[0-9]{1,10}$"
_HINT = "Use next_cursor as it was given."


def position(cursor: str, unreadable: type[GatewayError] = InvalidInput) -> int:
    """The number. Raises `unreadable` for what is none, and InvalidInput for one that no row can
    have: PostgreSQL refuses it, where SQLite would find nothing."""
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
