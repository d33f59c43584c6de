"""Classification of database errors, and removal of values from them.

Databases and drivers include the rejected values in their messages ("Failing row contains (...)",
"invalid input for query argument $3: '...'"), which would put prompts, tokens and secrets into the
log. `keep_quiet` removes them from all errors of an engine.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError, TimeoutError

from app.db.engine.columns import Unstorable

DISK_FULL = "53100"  # PostgreSQL's SQLSTATE
# SQLSTATE classes of temporary errors: no connection, conflict with other transactions, no space,
# operator intervention, system error.
_PASSING_CLASSES = ("08", "25", "40", "53", "55", "57", "58")
# Invalid value (22), or too large for an index (54).
_DATA_CLASSES = ("22", "54")
# Classes whose messages name objects of the schema and the system, but no values.
_SPOKEN = ("08", "23", "25", "28", "3D", "40", "42", "53", "55", "57", "58")
_LITE_DATA = ("SQLITE_TOOBIG", "SQLITE_MISMATCH", "SQLITE_RANGE")
_LITE_FAULTY = (*_LITE_DATA, "SQLITE_CONSTRAINT", "SQLITE_ERROR")


class Unreachable(SQLAlchemyError):
    """The database does not accept connections."""


class InDoubt(SQLAlchemyError):
    """The connection was lost during a commit, which may or may not have happened."""


def is_full(error: BaseException) -> bool:
    """Return whether there is no space left to write."""
    return code_of(error) in ("SQLITE_FULL", DISK_FULL)


def is_data_error(error: BaseException) -> bool:
    """Return whether the values to be written caused the error, so that it recurs."""
    if isinstance(error, Unstorable):
        return True
    if not isinstance(error, StatementError):
        return False
    if not isinstance(error, DBAPIError):
        return True  # the values could not be bound
    code = code_of(error)
    if code:
        return code[:2] in _DATA_CLASSES or code.startswith(_LITE_DATA)
    # Drivers reject values without a code.
    origin = error.orig.__cause__ or error.orig if error.orig else None
    return isinstance(origin, ValueError | TypeError | OverflowError | sqlite3.InterfaceError)


def is_away(error: BaseException) -> bool:
    """Return whether the database is down, full or locked, so that a retry makes sense."""
    if not isinstance(error, DBAPIError):
        return isinstance(error, Unreachable | InDoubt | TimeoutError | OSError)
    code = code_of(error)
    if error.connection_invalidated or not code:
        return not is_data_error(error)
    if code.startswith("SQLITE"):
        return not code.startswith(_LITE_FAULTY)
    return code[:2] in _PASSING_CLASSES


def cannot_write(error: BaseException) -> bool:
    """Return whether a database error was not caused by the values to be written."""
    return isinstance(error, SQLAlchemyError) and not is_data_error(error)


def code_of(error: BaseException) -> str:
    """Return SQLite's error name or PostgreSQL's SQLSTATE; "" without one."""
    cause = error.orig if isinstance(error, DBAPIError) else None
    return getattr(cause, "sqlite_errorname", "") or getattr(cause, "sqlstate", "") or ""


def keep_quiet(engine: Engine) -> Engine:
    """Remove values from all errors of the engine's statements."""
    event.listen(engine, "handle_error", _silence)
    return engine


def _silence(context: ExceptionContext) -> None:
    error = context.original_exception
    if isinstance(error, Unstorable) or not isinstance(error, Exception):
        return
    told = _told(error)
    for one in _chain(error):
        one.args = (told,)
        if getattr(one, "detail", None) or getattr(one, "hint", None):
            one.detail = one.hint = None  # type: ignore[attr-defined]  # asyncpg adds them
    wrapped = context.sqlalchemy_exception
    if wrapped is not None:
        wrapped.args = (f"({type(error).__name__}) {told}",)


def _told(error: BaseException) -> str:
    """Return the message without values."""
    state = getattr(error, "sqlstate", None)
    if state is None:
        # SQLite's messages name tables and columns only; other errors quote the rejected values.
        plain = isinstance(error, sqlite3.Error) or _is_lost(error)
        return str(error) if plain else "a value cannot be used"
    cause = error.__cause__ or error
    said = str(cause.args[0]) if state[:2] in _SPOKEN and cause.args else "values are left out here"
    names = ("table_name", "column_name", "constraint_name")
    where = {name: getattr(cause, name, None) for name in names}
    found = ", ".join(f"{name}={value}" for name, value in where.items() if value)
    return f"SQLSTATE {state}: {said}{f' ({found})' if found else ''}"


def _is_lost(error: BaseException) -> bool:
    """Return whether it is a connection error, which has no values."""
    cause: Any = error.__cause__ or error
    return isinstance(cause, OSError) or not isinstance(cause, ValueError | TypeError)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes."""
    while error is not None:
        yield error
        error = error.__cause__ if error.__cause__ is not error else None
