"""The schema. JSON stands in TEXT columns: PostgreSQL's json types refuse NUL characters."""

from sqlalchemy import (
    BigInteger,
    Boolean,
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
    # The order of the queue, lowest first: the time of arrival, less a head start for priority.
    # So what has waited long enough comes before what is important and new.
    Column("rank", Float, nullable=False),
    Column("route", String(32), nullable=False),  # see `routes`
    Column("shape", String(32), nullable=False),  # see `run_times`
    Column("expected", Float),  # seconds of running, by past runs of the shape
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
    Column("batch_id", String(36)),
    Column("needs_key", Boolean, nullable=False),  # see api_keys.py
    Column("key_name", String(40)),  # whose it is: of the key that made it
    Column("params", Text, nullable=False),
    Column("cut", Text),  # if params are cut there: which, and how long they are
    Column("metadata", Text, nullable=False),
    Column("progress", Text),
    Column("error", Text),
    Column("attempts", Text, nullable=False),
    Column("warnings", Text, nullable=False),
)

# The graph, large and read once or twice, apart from the rows that lists walk over. A task that
# shares one (see graphs.py) has only its `changes`: [[node_id, input, value], ...]. `params` are
# there if they are too long for the task's row, which has them cut.
prompts = Table(
    "prompts",
    metadata,
    Column("task_id", String(36), primary_key=True),
    Column("prompt", Text, nullable=False),
    Column("graph_id", String(64), index=True),
    Column("changes", Text),
    Column("params", Text),
)

# What tasks of a batch share. It goes with the last of them.
graphs = Table(
    "graphs",
    metadata,
    Column("graph_id", String(64), primary_key=True),
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
    Column("asset_id", String(36), index=True),
    Column("created_at", Float),
)

# Uploads by the ids that Comfy API v2 gives them; one file may have several.
assets = Table(
    "assets",
    metadata,
    Column("asset_id", String(36), primary_key=True),
    Column("hash", String(80), nullable=False, index=True),
    Column("upload", String(255), nullable=False, index=True),  # its name among the uploads
    Column("key_name", String(40)),  # whose it is
    Column("file_path", String(500)),  # as the client calls it
    Column("content_type", String(120), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("tags", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, index=True),
)

# What servers must have, for all tasks that need the same: so that the queue can be asked for
# what a server can run, however long it is.
routes = Table(
    "routes",
    metadata,
    Column("route", String(32), primary_key=True),
    Column("wanted_server", String(200)),
    Column("needs", Text, nullable=False),
)

# How long prompts of a shape ran on a server, and each of their nodes.
run_times = Table(
    "run_times",
    metadata,
    Column("shape", String(32), primary_key=True),
    Column("server", String(200), primary_key=True),
    Column("seconds", Float, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("updated_at", Float, nullable=False),
)

# What was answered to a submit with an Idempotency-Key.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", String(255), primary_key=True),
    Column("digest", String(80), nullable=False),
    Column("task_id", String(36), nullable=False),  # the first one, of a batch
    Column("created_at", Float, nullable=False, index=True),
)

# How many tasks API keys with a quota have made in a day (UTC).
key_usage = Table(
    "key_usage",
    metadata,
    Column("key_name", String(40), primary_key=True),
    Column("day", String(10), primary_key=True),
    Column("tasks", Integer, nullable=False),
)

# Servers that were added, changed or removed while the gateway ran.
servers = Table(
    "servers",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("url", String(250), nullable=False),
    Column("slots", Integer),
    Column("state", String(12), nullable=False),
)

_QUEUED = text("status = 'queued'")
# In the order in which queries write it: SQLite compares the conditions as they stand.
_ACTIVE = text(f"status IN ({', '.join(repr(str(status)) for status in sorted(ACTIVE))})")
_FINISHED = text("finished_at IS NOT NULL")

# Partial, so that they stay as small as the queue is, however many tasks are finished.
Index(
    "tasks_queued",
    tasks.c.rank,
    tasks.c.seq,
    tasks.c.route,
    tasks.c.server,
    tasks.c.expected,
    tasks.c.key_name,
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
# Of finished ones only: SQLite would take it for the queue, too, and sort that each time.
Index(
    "tasks_finished",
    tasks.c.status,
    tasks.c.seq,
    sqlite_where=_FINISHED,
    postgresql_where=_FINISHED,
)
Index("tasks_of_key", tasks.c.key_name, tasks.c.seq)
Index("tasks_of_batch", tasks.c.batch_id, tasks.c.seq)
Index("outputs_by_filename", outputs.c.filename, outputs.c.id)
Index("outputs_by_hash", outputs.c.hash)
