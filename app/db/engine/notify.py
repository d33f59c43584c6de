"""What processes on one database tell each other, so that nobody has to look often.

On PostgreSQL a signal is a NOTIFY in the transaction that makes it true. It only makes things
quick: what is missed is found by looking, some seconds later. So it is on SQLite, which several
processes may use but which is made for one.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from enum import StrEnum

from sqlalchemy import Connection, Text, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY

from app.db.engine.database import Database
from app.db.engine.postgresql import CHANNEL

Hear = Callable[[str], None]


class Topic(StrEnum):
    WORK = "work"  # tasks were queued
    LEFT = "left"  # tasks were let go, some of them on servers
    CANCEL = "cancel"  # somebody wants this task to stop
    SERVERS = "servers"  # the list of servers was changed
    RESUMED = "resumed"  # this server is to work again, whatever made it stop


# The name of a process's connections, so that it does not hear itself. Ids only: 8 kB is the most.
_SAID = func.current_setting("application_name").concat(
    func.unnest(bindparam("said", type_=ARRAY(Text())))
)
_NOTIFY = select(func.pg_notify(CHANNEL, _SAID))


def notify(connection: Connection, topic: Topic, about: str = "") -> None:
    """Tell the other processes, once and only if the transaction is committed."""
    tell_all(connection, topic, [about])


def tell_all(connection: Connection, topic: Topic, about: Iterable[str]) -> None:
    """The same of each of these."""
    if connection.dialect.name == "postgresql":
        connection.execute(_NOTIFY, {"said": [f" {topic} {one}" for one in about]})


class Notifications:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: dict[str, list[Hear]] = defaultdict(list)

    def on(self, topic: Topic, hear: Hear) -> None:
        """Call it with what a signal is about; with "" when some may have been missed."""
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
