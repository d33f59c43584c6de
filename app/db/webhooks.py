"""The webhooks that a task carries: written with it, gone with it. app/webhooks sends them.

A webhook is `open` until the task's end was turned into a delivery, in one transaction with it.
So whatever ends a task needs not know of webhooks, and none is lost: the end of a task with an
open webhook is found by looking (app/webhooks/outbox.py).
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    bindparam,
    exists,
    insert,
    literal_column,
    select,
)

from app.db.tables import deliveries, webhooks
from app.limits import text_lengths
from app.limits.json_types import Json
from app.tasks.webhook import OPERATOR, STARTED, TASK, Webhook

_OWN = (
    select(webhooks)
    .where(webhooks.c.task_id == bindparam("task_id"), webhooks.c.scope == TASK)
    .order_by(webhooks.c.id)
    .limit(1)
)


def is_open() -> ColumnElement[bool]:
    """As a literal, for the partial index."""
    return webhooks.c.state == literal_column("'open'")


def is_pending() -> ColumnElement[bool]:
    """Of deliveries, the same."""
    return deliveries.c.status == literal_column("'pending'")


def is_to_be_told(task_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Of a task that has ended: it has an open webhook, or a delivery that is not made yet."""
    unannounced = exists().where(webhooks.c.task_id == task_id, is_open())
    undelivered = exists().where(deliveries.c.task_id == task_id, is_pending())
    return unannounced | undelivered


def shown_of(task_id: ColumnElement[str]) -> ColumnElement[str | None]:
    """As a column of a query over tasks: the task's own webhook as JSON that may be seen."""
    return (
        select(webhooks.c.shown)
        .where(webhooks.c.task_id == task_id, webhooks.c.scope == TASK)
        .limit(1)
        .scalar_subquery()
    )


def keep(
    connection: Connection, task_id: str, wanted: Sequence[Webhook], owner: str | None = None
) -> None:
    """In the transaction that adds the task, which is this key's."""
    if wanted:
        made = [_row(task_id, webhook, owner or "") for webhook in wanted]
        connection.execute(insert(webhooks), made)


def shown_json(wanted: Sequence[Webhook]) -> str | None:
    """What `shown_of` finds once these are kept."""
    return next((_shown_json(webhook) for webhook in wanted if webhook.scope == TASK), None)


def own(connection: Connection, task_id: str) -> Webhook | None:
    """The webhook that the task was submitted with."""
    row = connection.execute(_OWN, {"task_id": task_id}).mappings().first()
    return webhook_of(row) if row else None


def webhook_of(row: Any) -> Webhook:
    return Webhook(
        url=row["url"] or "",
        events=tuple(json.loads(row["events"])),
        headers=json.loads(row["headers"] or "{}"),
        secret=row["secret"],
        scope=row["scope"],
    )


def _shown_json(webhook: Webhook) -> str:
    return json.dumps(webhook.shown())


def _row(task_id: str, webhook: Webhook, owner: str) -> Json:
    ours = webhook.scope == TASK
    return {
        "task_id": task_id,
        "scope": webhook.scope,
        "state": "open",
        "start_wanted": STARTED in webhook.events,
        "host": webhook.host[: text_lengths.HOST],
        "place": webhook.place[: text_lengths.HOST],
        "lane": owner if ours else f"{OPERATOR}{owner}",
        "events": json.dumps(webhook.events),
        "shown": _shown_json(webhook),
        "url": webhook.url if ours else None,
        "headers": json.dumps(webhook.headers) if ours else None,
        "secret": webhook.secret if ours else None,
    }
