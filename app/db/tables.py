"""The schema. JSON is stored as TEXT, since PostgreSQL's json types reject NUL characters.

The column types reject values that cannot be stored (engine/columns.py), with the lengths that are
checked in requests (app/limits/text_lengths.py).
"""

from sqlalchemy import Column, Index, Table, text

from app.db import webhook_tables  # noqa: F401 - its tables belong to the schema, too
from app.db.engine.columns import BigWhole, Flag, LongWords, Number, Whole, Words, name_columns
from app.db.metadata import metadata as metadata  # for whoever needs all tables
from app.limits import text_lengths
from app.tasks.model import ACTIVE

tasks = Table(
    "tasks",
    metadata,
    # The order of arrival; lists and queue positions use it for paging.
    Column("seq", Whole(), primary_key=True, autoincrement=True),
    Column("task_id", Words(text_lengths.ID), nullable=False, unique=True),
    Column("status", Words(text_lengths.WORD), nullable=False),
    Column("priority", Whole(), nullable=False),
    # The queue order, lowest first: the time of arrival minus a bonus for priority, so that a task
    # that waited long precedes a new one of higher priority.
    Column("rank", Number(), nullable=False),
    Column("route", Words(text_lengths.FINGERPRINT), nullable=False),  # see `routes`
    Column("shape", Words(text_lengths.FINGERPRINT), nullable=False),  # see `run_times`
    Column("expected", Number()),  # seconds, from past runs of the shape
    Column("created_at", Number(), nullable=False),
    Column("started_at", Number()),
    Column("finished_at", Number()),
    # The claim. `owner` is the gateway process that drives the task until `lease_until`; a row
    # without a live owner may be claimed. `server` is kept when an owner releases the task: the
    # prompt is still there, and the next owner re-attaches with the same client_id.
    Column("owner", Words(text_lengths.OWNER)),
    Column("lease_until", Number()),
    Column("server", Words(text_lengths.SERVER)),
    Column("wanted_server", Words(text_lengths.SERVER)),
    Column("client_id", Words(text_lengths.CLIENT_ID)),
    Column("submitted_at", Number()),  # set just before the POST of the prompt
    Column("cancel_reason", Words(text_lengths.WORD)),
    Column("timeout", Number()),
    Column("filename", Words(text_lengths.SAVED_NAME)),
    Column("retry_of", Words(text_lengths.ID)),
    Column("batch_id", Words(text_lengths.ID)),
    Column("needs_key", Flag(), nullable=False),  # see app/runner/paid_node_keys.py
    Column("key_name", Words(text_lengths.KEY_NAME)),  # the API key that created it
    # For tasks that came through ComfyUI's own protocol, see app/tasks/native.py.
    Column("number", Number()),
    Column("client", Words(text_lengths.CLIENT)),
    Column("origin", Words(text_lengths.ORIGIN)),
    Column("lane", Words(text_lengths.FINGERPRINT)),
    Column("params", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("cut", LongWords(text_lengths.LONG_TEXT)),  # the original lengths of truncated params
    Column("metadata", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("progress", LongWords(text_lengths.LONG_TEXT)),
    Column("error", LongWords(text_lengths.LONG_TEXT)),
    Column("attempts", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("warnings", LongWords(text_lengths.LONG_TEXT), nullable=False),
)

# The graph is large and rarely read, so it is kept apart from the rows that lists scan. A task with
# a shared graph (see prompts.py) has only `changes`: [[node_id, input, value], ...]. `params` are
# set if they are too long for the task's row, which has them truncated.
prompts = Table(
    "prompts",
    metadata,
    Column("task_id", Words(text_lengths.ID), primary_key=True),
    Column("prompt", LongWords(text_lengths.PROMPT), nullable=False),
    Column("graph_id", Words(64), index=True),
    Column("extra_id", Words(64), index=True),
    Column("changes", LongWords(text_lengths.LONG_TEXT)),
    Column("params", LongWords(text_lengths.LONG_TEXT)),
)

# Graphs shared by tasks of a batch; deleted with the last of them.
graphs = Table(
    "graphs",
    metadata,
    Column("graph_id", Words(64), primary_key=True),
    Column("prompt", LongWords(text_lengths.PROMPT), nullable=False),
)

# Extra data of prompts, see app/workflows/extra_data.py; shared in the same way.
extras = Table(
    "extras",
    metadata,
    Column("extra_id", Words(64), primary_key=True),
    Column("extra", LongWords(text_lengths.PROMPT), nullable=False),
)

# What else is known of tasks that came through ComfyUI's own protocol. `about` is of the request,
# see app/tasks/native.py, `result` of the server's history. `hidden`: deleted from the native
# history; `told`: a socket of the client was sent the end.
native_prompts = Table(
    "native_prompts",
    metadata,
    Column("task_id", Words(text_lengths.ID), primary_key=True),
    Column("about", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("hidden", Flag(), nullable=False),
    Column("told", Flag(), nullable=False),
    Column("result", LongWords(text_lengths.LONG_TEXT)),
    # Who wanted to delete it from the queue while it ran, as `tasks.origin`, and when
    Column("stop_from", Words(text_lengths.ORIGIN)),
    Column("stop_at", Number()),
)

# Texts for the search of tasks (see task_filters.py), kept apart from the rows that lists scan.
task_texts = Table(
    "task_texts",
    metadata,
    Column("seq", Whole(), primary_key=True, autoincrement=False),
    Column("text", LongWords(text_lengths.LONG_TEXT), nullable=False),
)

outputs = Table(
    "outputs",
    metadata,
    Column("id", Whole(), primary_key=True, autoincrement=True),
    Column("task_id", Words(text_lengths.ID), nullable=False, index=True),
    Column("node_id", Words(text_lengths.NODE_ID), nullable=False),
    Column("kind", Words(text_lengths.WORD), nullable=False),
    Column("filename", Words(text_lengths.FILENAME)),
    Column("subfolder", Words(text_lengths.SUBFOLDER), nullable=False),
    Column("type", Words(text_lengths.WORD), nullable=False),
    Column("content_type", Words(text_lengths.CONTENT_TYPE)),
    Column("size_bytes", BigWhole()),
    Column("hash", Words(text_lengths.HASH)),
    Column("key", Words(text_lengths.STORE_KEY)),
    Column("text", LongWords(text_lengths.LONG_TEXT)),
    Column("error", LongWords(text_lengths.LONG_TEXT)),
    Column("asset_id", Words(text_lengths.ID), index=True),
    Column("created_at", Number()),
)

# Uploads by their asset ids in Comfy API v2; one file may have several.
assets = Table(
    "assets",
    metadata,
    Column("asset_id", Words(text_lengths.ID), primary_key=True),
    Column("hash", Words(text_lengths.HASH), nullable=False, index=True),
    # Its name in the uploads.
    Column("upload", Words(text_lengths.SAVED_NAME), nullable=False, index=True),
    Column("key_name", Words(text_lengths.KEY_NAME)),  # the API key that created it
    Column("file_path", Words(text_lengths.FILE_PATH)),  # the client's name for it
    Column("content_type", Words(text_lengths.CONTENT_TYPE), nullable=False),
    Column("size_bytes", BigWhole(), nullable=False),
    Column("tags", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("created_at", Number(), nullable=False),
    Column("expires_at", Number(), index=True),
)

# Requirements, one row for all tasks with the same ones, so that the queue can be searched by what
# a server can run, however long it is.
routes = Table(
    "routes",
    metadata,
    Column("route", Words(text_lengths.FINGERPRINT), primary_key=True),
    Column("wanted_server", Words(text_lengths.SERVER)),
    Column("needs", LongWords(text_lengths.LONG_TEXT), nullable=False),
)

# Run times of shapes on servers, in total and per node.
run_times = Table(
    "run_times",
    metadata,
    Column("shape", Words(text_lengths.FINGERPRINT), primary_key=True),
    Column("server", Words(text_lengths.SERVER), primary_key=True),
    Column("seconds", Number(), nullable=False),
    Column("nodes", LongWords(text_lengths.LONG_TEXT), nullable=False),
    Column("updated_at", Number(), nullable=False),
)

# The tasks created by submits with an Idempotency-Key.
idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("key", Words(text_lengths.IDEMPOTENCY_KEY), primary_key=True),
    Column("digest", Words(text_lengths.HASH), nullable=False),
    Column("task_id", Words(text_lengths.ID), nullable=False),  # the first one of a batch
    Column("created_at", Number(), nullable=False, index=True),
)

# Number of tasks per day (UTC) of API keys with a quota.
key_usage = Table(
    "key_usage",
    metadata,
    Column("key_name", Words(text_lengths.KEY_NAME), primary_key=True),
    Column("day", Words(10), primary_key=True),
    Column("tasks", Whole(), nullable=False),
)

# Servers that were added, changed or removed at run time.
servers = Table(
    "servers",
    metadata,
    Column("id", Words(text_lengths.SERVER), primary_key=True),
    Column("url", Words(text_lengths.SERVER_URL), nullable=False),
    Column("slots", Whole()),
    Column("state", Words(text_lengths.WORD), nullable=False),
)

_QUEUED = text("status = 'queued'")
_NATIVE = text("number IS NOT NULL")
_OF_CLIENT = text("client IS NOT NULL")
# In the spelling of the queries: SQLite compares conditions textually.
_ACTIVE = text(f"status IN ({', '.join(repr(str(status)) for status in sorted(ACTIVE))})")
_FINISHED = text("finished_at IS NOT NULL")

# Partial, so that their size depends on the queue, not on the finished tasks.
Index(
    "tasks_queued",
    tasks.c.rank,
    tasks.c.seq,
    tasks.c.route,
    tasks.c.server,
    tasks.c.expected,
    tasks.c.key_name,
    tasks.c.lane,
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
# Finished tasks only: otherwise SQLite would use it for the queue, too, and sort each time.
Index(
    "tasks_finished",
    tasks.c.status,
    tasks.c.seq,
    sqlite_where=_FINISHED,
    postgresql_where=_FINISHED,
)
Index(
    "tasks_native",
    tasks.c.key_name,
    tasks.c.finished_at,
    tasks.c.seq,
    sqlite_where=_NATIVE,
    postgresql_where=_NATIVE,
)
Index(
    "tasks_of_client",
    tasks.c.client,
    tasks.c.finished_at,
    sqlite_where=_OF_CLIENT,
    postgresql_where=_OF_CLIENT,
)
Index("tasks_of_key", tasks.c.key_name, tasks.c.seq)
Index("tasks_of_workflow", tasks.c.filename, tasks.c.seq)
Index("tasks_by_time", tasks.c.created_at, tasks.c.seq)
Index("tasks_of_batch", tasks.c.batch_id, tasks.c.seq)
Index("outputs_by_filename", outputs.c.filename, outputs.c.id)
Index("outputs_by_hash", outputs.c.hash)

# The gateway processes on a PostgreSQL that they share, see runners.py.
runners = Table(
    "runners",
    metadata,
    Column("runner_id", Words(text_lengths.OWNER), primary_key=True),
    Column("lease_until", Number(), nullable=False),
    Column("alone", Flag(), nullable=False),  # it has no Redis
)

name_columns(metadata)
