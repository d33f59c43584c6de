"""The tables of webhooks, see app/webhooks/outbox.py."""

from sqlalchemy import Column, ForeignKey, Index, Table, text

from app.db.engine.columns import Flag, LongWords, Number, Whole, Words
from app.db.metadata import metadata
from app.limits import text_lengths

webhooks = Table(
    "webhooks",
    metadata,
    Column("id", Whole(), primary_key=True, autoincrement=True),
    Column(
        "task_id",
        Words(text_lengths.ID),
        ForeignKey("tasks.task_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("scope", Words(text_lengths.WORD), nullable=False),
    Column("state", Words(8), nullable=False),  # open or closed
    Column("start_wanted", Flag(), nullable=False),  # task.started is wanted and not announced yet
    Column("host", Words(text_lengths.HOST), nullable=False),
    Column("events", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("shown", LongWords(text_lengths.LONG_TEXT), nullable=False),
    # Set for a task's own webhook only.
    Column("url", LongWords(text_lengths.LONG_TEXT)),
    Column("headers", LongWords(text_lengths.LONG_TEXT)),
    Column("secret", LongWords(text_lengths.LONG_TEXT)),
    Column(
        "lane", Words(text_lengths.LANE), nullable=False, server_default=""
    ),  # app/webhooks/fair_share.py
    Column(
        "place", Words(text_lengths.HOST), nullable=False, server_default=""
    ),  # the host without the port
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("seq", Whole(), primary_key=True, autoincrement=True),
    Column("delivery_id", Words(40), nullable=False, unique=True),  # the header webhook-id
    Column(
        "task_id",
        Words(text_lengths.ID),
        ForeignKey("tasks.task_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("webhook", Whole(), nullable=False),
    Column("event", Words(40), nullable=False),
    Column("host", Words(text_lengths.HOST), nullable=False),
    Column("body", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("status", Words(text_lengths.WORD), nullable=False),  # pending, delivered or dead
    Column("tries", Whole(), nullable=False),  # since the last replay
    Column("log", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("created_at", Number(), nullable=False),
    Column("finished_at", Number()),
    # When the delivery is due; while claimed, the end of the lease.
    Column("next_at", Number()),
    Column("owner", Words(text_lengths.OWNER)),
    Column("lane", Words(text_lengths.LANE), nullable=False, server_default=""),
    Column("place", Words(text_lengths.HOST), nullable=False, server_default=""),
)

_OPEN = text("state = 'open'")
_PENDING = text("status = 'pending'")
Index("webhooks_open", webhooks.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("deliveries_due", deliveries.c.next_at, sqlite_where=_PENDING, postgresql_where=_PENDING)
# For app/webhooks/lanes.py. The constant state comes first, as SQLite would otherwise use another
# index.
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
