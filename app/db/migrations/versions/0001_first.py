"""The schema before migrations were introduced. Never changed: later revisions add to it."""

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    inspect,
    text,
)

from app.errors import InvalidInput

revision = "0001"
down_revision = None

FIRST = MetaData()

tasks = Table(
    "tasks",
    FIRST,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String(36), nullable=False, unique=True),
    Column("status", String(12), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("rank", Float, nullable=False),
    Column("route", String(32), nullable=False),
    Column("shape", String(32), nullable=False),
    Column("expected", Float),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    Column("owner", String(200)),
    Column("lease_until", Float),
    Column("server", String(200)),
    Column("wanted_server", String(200)),
    Column("client_id", String(64)),
    Column("submitted_at", Float),
    Column("cancel_reason", String(12)),
    Column("timeout", Float),
    Column("filename", String(255)),
    Column("retry_of", String(36)),
    Column("batch_id", String(36)),
    Column("needs_key", Boolean, nullable=False),
    Column("params", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("progress", Text),
    Column("error", Text),
    Column("attempts", Text, nullable=False),
    Column("warnings", Text, nullable=False),
)

prompts = Table(
    "prompts",
    FIRST,
    Column("task_id", String(36), primary_key=True),
    Column("prompt", Text, nullable=False),
)

outputs = Table(
    "outputs",
    FIRST,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String(36), nullable=False, index=True),
    Column("node_id", String(200), nullable=False),
    Column("kind", String(12), nullable=False),
    Column("filename", String(500)),
    Column("subfolder", String(500), nullable=False),
    Column("type", String(12), nullable=False),
    Column("content_type", String(120)),
    Column("size_bytes", BigInteger),
    Column("hash", String(80)),
    Column("key", String(500)),
    Column("text", Text),
    Column("error", Text),
    Column("asset_id", String(36), index=True),
    Column("created_at", Float),
)

assets = Table(
    "assets",
    FIRST,
    Column("asset_id", String(36), primary_key=True),
    Column("hash", String(80), nullable=False, index=True),
    Column("upload", String(255), nullable=False, index=True),
    Column("file_path", String(500)),
    Column("content_type", String(120), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("tags", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, index=True),
)

routes = Table(
    "routes",
    FIRST,
    Column("route", String(32), primary_key=True),
    Column("wanted_server", String(200)),
    Column("needs", Text, nullable=False),
)

run_times = Table(
    "run_times",
    FIRST,
    Column("shape", String(32), primary_key=True),
    Column("server", String(200), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    FIRST,
    Column("key", String(255), primary_key=True),
    Column("digest", String(80), nullable=False),
    Column("task_id", String(36), nullable=False),
    Column("created_at", Float, nullable=False, index=True),
)

servers = Table(
    "servers",
    FIRST,
    Column("id", String(200), primary_key=True),
    Column("url", String(250), nullable=False),
    Column("slots", Integer),
    Column("state", String(12), nullable=False),
)

_QUEUED = text("status = 'queued'")
_ACTIVE = text("status IN ('canceling', 'queued', 'running')")
_FINISHED = text("finished_at IS NOT NULL")

Index(
    "tasks_queued",
    tasks.c.rank,
    tasks.c.seq,
    tasks.c.route,
    tasks.c.server,
    tasks.c.expected,
    sqlite_where=_QUEUED,
    postgresql_where=_QUEUED,
)
Index(
    "tasks_on_server",
    tasks.c.server,
    tasks.c.owner,
    sqlite_where=_ACTIVE,
    postgresql_where=_ACTIVE,
)
Index(
    "tasks_finished",
    tasks.c.status,
    tasks.c.seq,
    sqlite_where=_FINISHED,
    postgresql_where=_FINISHED,
)
Index("tasks_of_batch", tasks.c.batch_id, tasks.c.seq)
Index("outputs_by_filename", outputs.c.filename, outputs.c.id)
Index("outputs_by_hash", outputs.c.hash)

webhooks = Table(
    "webhooks",
    FIRST,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "task_id",
        String(36),
        ForeignKey("tasks.task_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("scope", String(12), nullable=False),
    Column("state", String(8), nullable=False),
    Column("start_wanted", Boolean, nullable=False),
    Column("host", String(300), nullable=False),
    Column("events", Text, nullable=False),
    Column("shown", Text, nullable=False),
    Column("url", Text),
    Column("headers", Text),
    Column("secret", Text),
)

deliveries = Table(
    "deliveries",
    FIRST,
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("delivery_id", String(40), nullable=False, unique=True),
    Column(
        "task_id",
        String(36),
        ForeignKey("tasks.task_id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    Column("webhook", Integer, nullable=False),
    Column("event", String(40), nullable=False),
    Column("host", String(300), nullable=False),
    Column("body", Text, nullable=False),
    Column("status", String(12), nullable=False),
    Column("tries", Integer, nullable=False),
    Column("log", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float),
    Column("next_at", Float),
    Column("owner", String(200)),
)

_OPEN = text("state = 'open'")
_PENDING = text("status = 'pending'")
Index("webhooks_open", webhooks.c.id, sqlite_where=_OPEN, postgresql_where=_OPEN)
Index("deliveries_due", deliveries.c.next_at, sqlite_where=_PENDING, postgresql_where=_PENDING)
Index("deliveries_by_status", deliveries.c.status, deliveries.c.seq)


def upgrade() -> None:
    """Create missing tables and indexes: older databases have all of them, but no version."""
    connection = op.get_bind()
    inspector = inspect(connection)
    missing = [
        f"{table.name}.{column.name}"
        for table in FIRST.sorted_tables
        if inspector.has_table(table.name)
        for column in table.columns
        if column.name not in {found["name"] for found in inspector.get_columns(table.name)}
    ]
    if missing:
        raise InvalidInput(
            f"The database is older than can be brought up: it lacks {', '.join(missing[:5])}"
            f"{' and more' if missing[5:] else ''}.",
            hint="Move it away, or name another one with COMFYUI_DATABASE_URL.",
        )
    FIRST.create_all(connection)
