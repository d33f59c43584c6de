"""The webhooks that a task carries: written with it, gone with it. app/webhooks sends them.

A webhook is `open` until the task's end was turned into a delivery, in one transaction with it.
So whatever ends a task needs not know of webhooks, and none is lost: the end of a task with an
open webhook is found by looking (app/webhooks/outbox.py).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    ForeignKey,
    Index,
    Table,
    bindparam,
    exists,
    insert,
    literal_column,
    select,
    text,
)

from app import lengths
from app.remote.addresses import parse_address, site_of
from app.tasks.columns import Flag, LongWords, Number, Whole, Words, name_columns
from app.tasks.tables import metadata

Json = dict[str, Any]

STARTED = "task.started"
FINALS = ("task.succeeded", "task.failed", "task.canceled")
EVENTS = (STARTED, *FINALS)

EVERYWHERE = "everywhere"  # the gateway's own webhook: its URL and secret stay in the settings
OPERATOR = "*"  # the lane of what it is told; "*NAME" of the tasks of a key
TOKEN = 16  # characters
TASK = "task"


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to tell of a task, and of which events. `secret` is "whsec_<base64>"."""

    url: str = field(repr=False)
    events: tuple[str, ...] = FINALS
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    secret: str | None = field(default=None, repr=False)
    scope: str = TASK

    @property
    def host(self) -> str:
        """With the port, if there is one."""
        return urlsplit(self.url).netloc.rpartition("@")[2].lower()

    @property
    def place(self) -> str:
        """The host, whatever the port and the way its address is written; of IPv6 the /64, which
        is what one client has."""
        name = urlsplit(self.url).hostname or ""
        address = parse_address(name)
        return name if address is None else site_of(address)

    @property
    def host_name(self) -> str:
        return urlsplit(self.url).hostname or ""

    def shown(self) -> Json:
        """What everybody may see of it: no headers, no secret, no values in the URL's query."""
        return {"url": without_values(self.url), "events": list(self.events)}


webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Whole(), primary_key=True, autoincrement=True),
    Column(
        "task_id",
        Words(lengths.ID),
        ForeignKey("tasks.task_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("scope", Words(lengths.WORD), nullable=False),
    Column("state", Words(8), nullable=False),  # open, closed
    Column("start_wanted", Flag(), nullable=False),  # and not told yet
    Column("host", Words(lengths.HOST), nullable=False),
    Column("events", LongWords(lengths.LONG), nullable=False),
    Column("shown", LongWords(lengths.LONG), nullable=False),
    # Of a task's own webhook only.
    Column("url", LongWords(lengths.LONG)),
    Column("headers", LongWords(lengths.LONG)),
    Column("secret", LongWords(lengths.LONG)),
    Column("lane", Words(lengths.LANE), nullable=False, server_default=""),  # webhooks/places.py
    Column("place", Words(lengths.HOST), nullable=False, server_default=""),  # host without port
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Whole(), primary_key=True, autoincrement=True),
    Column("delivery_id", Words(40), nullable=False, unique=True),  # the header webhook-id
    Column(
        "task_id",
        Words(lengths.ID),
        ForeignKey("tasks.task_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("webhook", Whole(), nullable=False),
    Column("event", Words(40), nullable=False),
    Column("host", Words(lengths.HOST), nullable=False),
    Column("body", LongWords(lengths.LONG), nullable=False),
    Column("status", Words(lengths.WORD), nullable=False),  # pending, delivered, dead
    Column("tries", Whole(), nullable=False),  # since the last replay
    Column("log", LongWords(lengths.LONG), nullable=False),
    Column("created_at", Number(), nullable=False),
    Column("finished_at", Number()),
    # When it is due. While an owner has it, when its lease ends.
    Column("next_at", Number()),
    Column("owner", Words(lengths.OWNER)),
    Column("lane", Words(lengths.LANE), nullable=False, server_default=""),
    Column("place", Words(lengths.HOST), nullable=False, server_default=""),
)

name_columns(metadata)

_OPEN = text("state = 'open'")
_PENDING = text("status = 'pending'")
Index("webhooks_open", webhooks.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("deliveries_due", deliveries.c.next_at, sqlite_where=_PENDING, postgresql_where=_PENDING)
# For app/webhooks/lanes.py. With the state in front, though it is always the same: SQLite would
# take another index otherwise.
Index(
    "webhooks_of_lane",
    *(webhooks.c.state, webhooks.c.lane, webhooks.c.id),
    sqlite_where=_OPEN,
    postgresql_where=_OPEN,
)
Index(
    "deliveries_of_lane",
    *(deliveries.c.status, deliveries.c.lane, deliveries.c.next_at),
    *(deliveries.c.place, deliveries.c.host),
    sqlite_where=_PENDING,
    postgresql_where=_PENDING,
)
Index("deliveries_by_status", deliveries.c.status, deliveries.c.seq)

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
    connection: Connection, task_id: str, wanted: Sequence[Webhook], key_name: str | None = None
) -> None:
    """In the transaction that adds the task, which is this key's."""
    if wanted:
        made = [_row(task_id, webhook, key_name or "") for webhook in wanted]
        connection.execute(insert(webhooks), made)


def shown(wanted: Sequence[Webhook]) -> str | None:
    """What `shown_of` finds once these are kept."""
    return next((_shown(webhook) for webhook in wanted if webhook.scope == TASK), None)


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


def tokens_of(path: str) -> list[str]:
    """What is long enough in a path to be a password, as chat services have them there."""
    return [part for part in path.split("/") if len(part) >= TOKEN]


def without_values(url: str) -> str:
    """The URL without credentials, with *** for the values of its query and tokens in its path."""
    parts = urlsplit(url)
    path = "/".join("***" if len(part) >= TOKEN else part for part in parts.path.split("/"))
    names = [pair.partition("=")[0] for pair in parts.query.split("&")] if parts.query else []
    query = "&".join(f"{name}=***" for name in names)
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=host, path=path, query=query, fragment="").geturl()


def _shown(webhook: Webhook) -> str:
    return json.dumps(webhook.shown())


def _row(task_id: str, webhook: Webhook, key_name: str) -> Json:
    ours = webhook.scope == TASK
    return {
        "task_id": task_id,
        "scope": webhook.scope,
        "state": "open",
        "start_wanted": STARTED in webhook.events,
        "host": webhook.host[: lengths.HOST],
        "place": webhook.place[: lengths.HOST],
        "lane": key_name if ours else f"{OPERATOR}{key_name}",
        "events": json.dumps(webhook.events),
        "shown": _shown(webhook),
        "url": webhook.url if ours else None,
        "headers": json.dumps(webhook.headers) if ours else None,
        "secret": webhook.secret if ours else None,
    }
