"""Signals between processes on one database, so that they need to poll only rarely.

On PostgreSQL a signal is a NOTIFY in the transaction that makes it true. It only reduces latency: a
missed signal is made good by polling, seconds later. On SQLite, which is meant for one process,
there are no signals, only polling.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum

from sqlalchemy import Connection, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.engine.database import Database
from app.db.engine.postgresql import CHANNEL
from app.db.engine.statement import Statement

Hear = Callable[[str], None]


class Topic(StrEnum):
    WORK = "work"  # tasks were queued
    LEFT = "left"  # tasks were released, some of them on servers
    CANCEL = "cancel"  # this task is to be cancelled
    SERVERS = "servers"  # the list of servers changed
    RESUMED = "resumed"  # this server is to work again, whatever paused it


# Starts with the application name of the connection, so that a process can ignore its own signals.
# Only ids: a payload is limited to 8000 bytes.
_SAID = func.current_setting("application_name").concat(
    func.unnest(bindparam("said", type_=ARRAY(Text())))
)
_NOTIFY = Statement(select(func.pg_notify(CHANNEL, _SAID)))


def notify(connection: Connection, topic: Topic, about: str = "") -> None:
    """Signal the other processes, once and only if the transaction is committed."""
    tell_all(connection, topic, [about])


def tell_all(connection: Connection, topic: Topic, about: Iterable[str]) -> None:
    """Signal each of `about`, as `notify` does."""
    if connection.dialect.name == "postgresql":
        _NOTIFY.rows(connection, {"said": [f" {topic} {one}" for one in about]})


class Notifications:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, list[Hear]] = defaultdict(list)

    def on(self, topic: Topic, hear: Hear) -> None:
        """Call `hear` with the subject of each signal; with "" if signals may have been missed."""
        self._listeners[topic].append(hear)

    async def run(self) -> None:
        """Listen to the other processes until cancelled."""
        await self._database.listen(self._hear)

    def _hear(self, said: str) -> None:
        topic, _, about = said.partition(" ")
        for name, listeners in self._listeners.items():
            if topic in (name, ""):
                for listener in listeners:
                    listener(about)
