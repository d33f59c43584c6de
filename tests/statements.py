"""Looks at every statement that goes to a database: none may grow with data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

MOST_PARAMETERS = 1000  # in one statement; PostgreSQL takes 32,767
LONGEST = 20_000  # characters

_found: list[list[str]] = []  # the statements that were larger, by the context that looks


@contextmanager
def none_too_large() -> Iterator[None]:
    """Fails at its end if a statement of whatever engine was larger than that meanwhile."""
    if not _found:
        event.listen(Engine, "before_cursor_execute", _look)
    found: list[str] = []
    _found.append(found)
    try:
        yield
    finally:
        _found.remove(found)
        if not _found:
            event.remove(Engine, "before_cursor_execute", _look)
    assert not found, "\n".join(found[:5])


def _look(
    _connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool
) -> None:
    rows = [row for row in values or () if isinstance(row, tuple | dict)]  # of an executemany
    count = max(map(len, rows)) if rows else len(values or ())
    if _found and (count > MOST_PARAMETERS or len(statement) > LONGEST):
        size = f"{count} parameters, {len(statement)} characters"
        _found[-1].append(f"{size}: {statement[:300]} ... {statement[-100:]}")
