"""Limits of the queue and of API keys: queued tasks, tasks per day, tasks on servers at a time."""

import time
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

from sqlalchemy import Connection, bindparam, delete, func, select, text
from sqlalchemy.dialects import postgresql, sqlite

from app.auth.model import Caller
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of
from app.db.engine.statement import Statement
from app.db.queries import KEY_NAME, is_active, is_queued
from app.db.tables import key_usage, tasks
from app.errors import KeyQueueFull, QueueFull, QuotaExceeded

T = TypeVar("T")

DAY = 86400

_QUEUED_OF = Statement(
    select(func.count()).select_from(tasks).where(is_queued(), bindparam("name") == KEY_NAME)
)
_COUNT = {
    name: Statement(
        row.on_conflict_do_update(
            index_elements=["key_name", "day"],
            set_={"tasks": key_usage.c.tasks + row.excluded.tasks},
        ).returning(key_usage.c.tasks)
    )
    for name, row in (
        ("sqlite", sqlite.insert(key_usage)),
        ("postgresql", postgresql.insert(key_usage)),
    )
}
_FORGET = Statement(
    delete(key_usage).where(
        key_usage.c.key_name == bindparam("name"), key_usage.c.day < bindparam("today")
    )
)
_ON_SERVERS = Statement(
    select(KEY_NAME, func.count())
    .where(is_active(), tasks.c.server.is_not(None))
    .where(any_of(KEY_NAME, "names"))
    .group_by(text("1"))
)


def check_queue_limit(
    connection: Connection, caller: Caller, most: int, more: int, waiting: int
) -> None:
    """Raise QueueFull if the queue has no room for `more` tasks, KeyQueueFull if the key has none.

    `most` is the limit of the queue, in which `waiting` tasks are.
    """
    if waiting + more > most:
        raise QueueFull(
            f"{waiting} tasks wait, and {most} may; these are {more} more.",
            hint="Try again later. The limit is the setting COMFYUI_MAX_QUEUED.",
        )
    if caller.queued is None:
        return
    ((waiting,),) = _QUEUED_OF.rows(connection, {"name": caller.name})
    if waiting + more > caller.queued:
        raise KeyQueueFull(
            f"{waiting} tasks of key {caller.name!r} wait, and {caller.queued} may; "
            f"these are {more} more.",
            hint="Try again when some of them are through.",
        )


def count_daily(connection: Connection, caller: Caller, more: int) -> None:
    """Count tasks of the key, in the transaction that creates them. Raises QuotaExceeded.

    A separate row is used, as a count of tasks would decrease when tasks are deleted. It is locked
    until the end of the transaction, so that submits of a key are serialized, also for
    `check_queue_limit`.
    """
    if caller.queued is None and caller.daily is None:
        return
    now = time.time()
    day = _day(now)
    row = {"key_name": caller.name, "day": day, "tasks": more}
    ((made,),) = _COUNT[connection.dialect.name].rows(connection, row)
    _FORGET.count(connection, {"name": caller.name, "today": day})
    if caller.daily is not None and made > caller.daily:
        raise QuotaExceeded(
            f"Key {caller.name!r} has made {made - more} tasks today, and {caller.daily} are "
            f"allowed; these are {more} more.",
            hint="A new day begins at midnight UTC.",
            retry_after=int(DAY - now % DAY) + 1,
        )


def forget_old(connection: Connection) -> int:
    """Delete some counts of earlier days; return MAX_LIST_ROWS if there may be more."""
    former = key_usage.c.day < _day(time.time())
    names = list(
        connection.scalars(select(key_usage.c.key_name).where(former).limit(MAX_LIST_ROWS))
    )
    if names:
        old = delete(key_usage).where(any_of(key_usage.c.key_name, "names"), former)
        connection.execute(old, {"names": names})
    return len(names)


def _day(now: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(now))


def free_slots(connection: Connection, limits: Mapping[str, int]) -> dict[str, int]:
    """Return how many more tasks of these keys may go to servers; requires the claim lock."""
    if not limits:
        return {}
    held: dict[str, int] = {}
    for name, number in _ON_SERVERS.rows(connection, {"names": list(limits)}):
        held[name] = number
    return {name: limit - held.get(name, 0) for name, limit in limits.items()}


def exhausted(room: Mapping[str, int]) -> list[str]:
    """Return the groups without free slots."""
    return [name for name, left in room.items() if left <= 0]


def within(
    room: Mapping[str, int],
    items: Iterable[T],
    group_of: Callable[[T], str | None],
    *,
    default: int | None = None,
) -> list[T]:
    """Return the first items of each group, as many as it has room for. Pure.

    Groups that `room` does not name have room for `default` items, None for any number, and so has
    what is in no group.
    """
    left, kept = dict(room), []
    for item in items:
        group = group_of(item)
        free = None if group is None else left.get(group, default)
        if group is not None and free is not None:
            if free <= 0:
                continue
            left[group] = free - 1
        kept.append(item)
    return kept
