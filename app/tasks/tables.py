"""The schema. JSON stands in TEXT columns: PostgreSQL's json types refuse NUL characters."""

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    text,
)

from app.tasks.model import ACTIVE

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    # The order of arrival; lists and queue positions page over it.
    Column("seq", Integer, primary_key=True, autoincrement=True),
    Column("task_id", String(36), nullable=False, unique=True),
    Column("status", String(12), nullable=False),
    Column("priority", Integer, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("started_at", Float),
    Column("finished_at", Float),
    # The claim. `owner` is the gateway process that drives the task until `lease_until`; a row
    # without a live owner may be claimed. `server` stays when an owner lets go: the prompt is
    # still there, and the next owner re-attaches with the same client_id.
    Column("owner", String(200)),
    Column("lease_until", Float),
    Column("server", String(200)),
    Column("wanted_server", String(200)),
    Column("client_id", String(64)),
    Column("submitted_at", Float),  # set just before the POST that hands over the prompt
    Column("cancel_reason", String(12)),
    Column("timeout", Float),
    Column("filename", String(255)),
    Column("retry_of", String(36)),
    Column("params", Text, nullable=False),
    Column("metadata", Text, nullable=False),
    Column("progress", Text),
    Column("error", Text),
    Column("attempts", Text, nullable=False),
    Column("warnings", Text, nullable=False),
)

# The graph, large and read once or twice, apart from the rows that lists walk over.
prompts = Table(
    "prompts",
    metadata,
    Column("task_id", String(36), primary_key=True),
    Column("prompt", Text, nullable=False),
)

outputs = Table(
    "outputs",
    metadata,
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
)

_QUEUED = text("status = 'queued'")
# In the order in which queries write it: SQLite compares the conditions as they stand.
_ACTIVE = text(f"status IN ({', '.join(repr(str(status)) for status in sorted(ACTIVE))})")

# Partial, so that they stay as small as the queue is, however many tasks are finished.
Index(
    "tasks_queued",
    tasks.c.priority.desc(),
    tasks.c.seq,
    tasks.c.server,
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
Index("tasks_by_status", tasks.c.status, tasks.c.seq)
Index("outputs_by_filename", outputs.c.filename, outputs.c.id)
