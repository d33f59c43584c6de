"""Idempotency keys: a submit that is sent twice creates one task.

Follows the IETF draft of the Idempotency-Key header: the same key with the same body returns the
tasks of the first request; with another body it is an error. Keys are kept for a day.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3
from sqlalchemy import Connection, bindparam, delete, select, update

from app.db.engine.database import insert_if_new
from app.db.engine.list_parameters import MAX_LIST_ROWS, any_of
from app.db.engine.statement import Statement
from app.db.queries import TASKS, fetch, fetch_one, whole
from app.db.tables import idempotency_keys as keys
from app.db.tables import tasks
from app.errors import KeyReused
from app.tasks.model import Task

KEY_LIFETIME_SECONDS = 24 * 3600.0  # seconds

_KNOWN = Statement(
    select(keys).where(keys.c.key == bindparam("name"), keys.c.created_at > bindparam("since"))
)
_IS_OLD = keys.c.created_at <= bindparam("until")
_FORGET = Statement(delete(keys).where(keys.c.key == bindparam("name"), _IS_OLD))
_OLD = select(keys.c.key).where(_IS_OLD).limit(MAX_LIST_ROWS)
_FORGET_OLD = delete(keys).where(any_of(keys.c.key, "names"), _IS_OLD)
_HELD = select(keys.c.key, keys.c.task_id).where(any_of(keys.c.task_id, "task_ids"))
_DROP = delete(keys).where(keys.c.key == bindparam("name"))
_MOVE = update(keys).where(keys.c.key == bindparam("name")).values(task_id=bindparam("to"))
# Locked on PostgreSQL: a concurrent delete of this task waits, and then finds the key moved to it.
_LEFT = (
    select(tasks.c.task_id)
    .where(tasks.c.batch_id == bindparam("batch"))
    .order_by(tasks.c.seq)
    .limit(1)
    .with_for_update(read=True, key_share=True)
)
_OF_BATCH = TASKS.where(tasks.c.batch_id == bindparam("batch")).order_by(tasks.c.seq)


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """The header's value and a digest of the request.

    `owner`: the name of the API key, since clients may choose equal values. `single_use`: it
    matches no second request, whatever its body.
    """

    name: str
    digest: str
    owner: str = ""
    single_use: bool = False

    @property
    def stored(self) -> str:
        """The key in the table."""
        if not self.owner:
            return self.name
        return f"of:{blake3(f'{self.owner}/{self.name}'.encode()).hexdigest()}"


def is_known(connection: Connection, key: IdempotencyKey) -> bool:
    """Return whether the key was used. Raises KeyReused if it was, with another request."""
    known = _KNOWN.rows(connection, _values(key))
    if known and known[0].digest != key.digest:
        how = "was used" if key.single_use else "came with another request"
        raise KeyReused(
            f"The Idempotency-Key {how} before.",
            hint="Use a new key for a new request; a key is kept for 24 hours.",
        )
    return bool(known)


def take(connection: Connection, key: IdempotencyKey, task_id: str) -> bool:
    """Store the key for a task that is added next; False if it was used. Raises KeyReused."""
    old = {"name": key.stored, "until": time.time() - KEY_LIFETIME_SECONDS}
    _FORGET.count(connection, old)
    row = {"key": key.stored, "digest": key.digest, "task_id": task_id, "created_at": time.time()}
    if insert_if_new(connection.dialect.name, keys).count(connection, row) == 1:
        return True
    return not is_known(connection, key)


def forget_old(connection: Connection) -> int:
    """Delete some expired keys; return MAX_LIST_ROWS if there may be more."""
    until = time.time() - KEY_LIFETIME_SECONDS
    names = list(connection.scalars(_OLD, {"until": until}))
    if names:
        connection.execute(_FORGET_OLD, {"names": names, "until": until})
    return len(names)


def let_go(connection: Connection, removed: Mapping[str, str | None]) -> None:
    """Release the keys of deleted tasks; `removed` maps their ids to their batches.

    The key of a batch is moved to another of its tasks until the whole batch is deleted.
    """
    for row in connection.execute(_HELD, {"task_ids": list(removed)}).all():
        batch = removed[row.task_id]
        left = connection.scalar(_LEFT, {"batch": batch}) if batch else None
        # Another process may have deleted the task that the query waited for
        if batch and left is None:
            left = connection.scalar(_LEFT, {"batch": batch})
        if left is None:
            connection.execute(_DROP, {"name": row.key})
        else:
            connection.execute(_MOVE, {"name": row.key, "to": left})


def tasks_of(connection: Connection, key: IdempotencyKey) -> list[Task]:
    """Return what the key created: one task, or all of a batch."""
    (known,) = _KNOWN.rows(connection, _values(key))
    first = fetch_one(connection, known.task_id)
    if first.batch_id is None:
        return [whole(connection, first)]
    return fetch(connection, _OF_BATCH, {"batch": first.batch_id}, brief=True)


def _values(key: IdempotencyKey) -> dict[str, object]:
    return {"name": key.stored, "since": time.time() - KEY_LIFETIME_SECONDS}
