"""Webhooks of tasks: stored and deleted with the task; app/webhooks sends them.

A webhook is `open` until the end of its task was turned into a delivery, in the same transaction.
So code that ends a task need not know of webhooks, and none is lost: finished tasks with an open
webhook are found by a query (app/webhooks/outbox.py).
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

from app.db.engine.statement import Statement
from app.db.webhook_tables import deliveries, webhooks
from app.limits import text_lengths
from app.limits.json_types import Json
from app.tasks.webhook import OPERATOR, STARTED, TASK, Webhook

_KEEP = Statement(insert(webhooks))
_OWN = (
    select(webhooks)
    .where(webhooks.c.task_id == bindparam("task_id"), webhooks.c.scope == TASK)
    .order_by(webhooks.c.id)
    .limit(1)
)


def is_open() -> ColumnElement[bool]:
    """A literal, for the partial index."""
    return webhooks.c.state == literal_column("'open'")


def is_pending() -> ColumnElement[bool]:
    """Condition on deliveries; a literal, for the partial index."""
    return deliveries.c.status == literal_column("'pending'")


def is_to_be_told(task_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Condition on a finished task: it has an open webhook or a pending delivery."""
    unannounced = exists().where(webhooks.c.task_id == task_id, is_open())
    undelivered = exists().where(deliveries.c.task_id == task_id, is_pending())
    return unannounced | undelivered


def shown_of(task_id: ColumnElement[str]) -> ColumnElement[str | None]:
    """Column for queries of tasks: the public part of the task's own webhook, as JSON."""
    return (
        select(webhooks.c.shown)
        .where(webhooks.c.task_id == task_id, webhooks.c.scope == TASK)
        .limit(1)
        .scalar_subquery()
    )


def keep(
    connection: Connection, task_id: str, wanted: Sequence[Webhook], owner: str | None = None
) -> None:
    """Insert the webhooks in the transaction that adds the task; `owner` is the task's API key."""
    if wanted:
        made = [_row(task_id, webhook, owner or "") for webhook in wanted]
        _KEEP.each(connection, made)


def shown_json(wanted: Sequence[Webhook]) -> str | None:
    """Return what `shown_of` yields for these webhooks."""
    return next((_shown_json(webhook) for webhook in wanted if webhook.scope == TASK), None)


def own(connection: Connection, task_id: str) -> Webhook | None:
    """Return the webhook of the task's submit, or None."""
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
