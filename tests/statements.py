"""Looks at every statement that goes to a database: none may grow with data, and none that is about
a list of rows may read others to find them, be it all or all of a key or a status."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event

MOST_PARAMETERS = 1000  # in one statement; PostgreSQL takes 32,767
LONGEST = 20_000  # characters
# What may be read from end to end: what waits, in its order; what is not finished; webhooks that
# still have something to tell; and the keys of a day.
FINE = (
    *("USING INDEX tasks_queued", "USING INDEX tasks_on_server"),
    *("USING INDEX webhooks_of_lane", "SCAN idempotency_keys"),
)
_LIST = re.compile(
    r"(\w+)\.(\w+) IN \(SELECT value FROM json_each"
)  # see app/db/engine/list_parameters.py

_found: list[list[str]] = []  # the statements that were wrong, by the context that looks
_planned: set[str] = set()  # the statements whose plan was looked at


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """All statements of whatever engine meanwhile, on one line each, with their values."""
    found: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        found.append((" ".join(statement.split()), values))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


@contextmanager
def none_too_large() -> Iterator[None]:
    """Fails at its end if a statement of whatever engine was larger than that meanwhile, or looked
    for the values of a list row by row."""
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
    connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool
) -> None:
    rows = [row for row in values or () if isinstance(row, tuple | dict)]  # of an executemany
    count = max(map(len, rows)) if rows else len(values or ())
    if _found and (count > MOST_PARAMETERS or len(statement) > LONGEST):
        size = f"{count} parameters, {len(statement)} characters"
        _found[-1].append(f"{size}: {statement[:300]} ... {statement[-100:]}")
    if _found and _LIST.search(statement) and not rows and statement not in _planned:
        _planned.add(statement)
        if scans := _detours(connection, statement, values):
            _found[-1].append(f"{scans}: {statement}")


def _detours(connection: Any, statement: str, values: Any) -> list[str]:
    """Steps in which SQLite would find the rows of a list by something else than the list."""
    cursor = connection.connection.cursor()
    plan = [row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
    cursor.close()
    steps = [step for step in plan if "json_each" not in step]
    found = [step for step in steps if step.startswith("SCAN ")]
    for table, column in _LIST.findall(statement):
        ways = [step for step in steps if step.startswith((f"SEARCH {table} ", f"SCAN {table}"))]
        if not any(f"({column}=?" in step or "(rowid=?" in step for step in ways):
            found += ways
    return [step for step in found if not any(fine in step for fine in FINE)]
