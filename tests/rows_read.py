"""Counts what a database looks at for its answers: the same on any machine, however busy it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, event

EACH = 10  # steps of SQLite after which it tells; a row that it looks at takes some ten
# Of earlier transactions, too, until the server has noted those, which it does between two of them,
# once a second at most.
_OF_THIS_SESSION = (
    "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)::bigint"
    " FROM pg_stat_xact_user_tables"
)


class Looked:
    """SQLite's steps, or PostgreSQL's rows: a row that is looked at counts as one at least."""

    def __init__(self) -> None:
        self.count = 0
        self.watched = set[Any]()
        self.before = dict[Any, int]()  # by connection: rows that are no transaction's of ours

    def step(self) -> int:
        self.count += EACH
        return 0  # go on

    def watch(self, connection: Connection, *_: Any) -> None:
        raw: Any = connection.connection.driver_connection
        if connection.dialect.name == "sqlite" and raw not in self.watched:
            self.watched.add(raw)
            raw.set_progress_handler(self.step, EACH)

    def begin(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            self.before[connection.connection.driver_connection] = _rows_of(connection)

    def end(self, connection: Connection) -> None:
        if connection.dialect.name == "postgresql":
            before = self.before.pop(connection.connection.driver_connection, 0)
            now = _rows_of(connection)
            self.count += now - before if now >= before else now  # less: the server has noted them


def _rows_of(connection: Connection) -> int:
    return int(connection.exec_driver_sql(_OF_THIS_SESSION).scalar_one())


@contextmanager
def rows_read() -> Iterator[Looked]:
    """Of all engines of this process meanwhile."""
    looked = Looked()
    listeners = {"before_cursor_execute": looked.watch, "begin": looked.begin}
    listeners |= {"commit": looked.end, "rollback": looked.end}
    for name, listener in listeners.items():
        event.listen(Engine, name, listener)
    try:
        yield looked
    finally:
        for name, listener in listeners.items():
            event.remove(Engine, name, listener)
        for raw in looked.watched:
            raw.set_progress_handler(None, EACH)
