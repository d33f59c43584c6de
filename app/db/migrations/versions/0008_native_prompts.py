"""Tasks that come through ComfyUI's own protocol."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, String, Text, text

revision = "0008"
down_revision = "0007"

_QUEUED, _NATIVE = text("status = 'queued'"), text("number IS NOT NULL")
_OF_CLIENT = text("client IS NOT NULL")
_INDEX = ("rank", "seq", "route", "server", "expected", "key_name")


def upgrade() -> None:
    for column in (
        *(Column("number", Float), Column("client", String(200))),
        *(Column("origin", String(16)), Column("lane", String(32))),
    ):
        op.add_column("tasks", column)
    op.create_table(
        "native_prompts",
        Column("task_id", String(36), primary_key=True),
        Column("about", Text, nullable=False),
        Column("hidden", Boolean, nullable=False),
        Column("told", Boolean, nullable=False),
        Column("result", Text),
        Column("stop_from", String(16)),
        Column("stop_at", Float),
    )
    op.create_index(
        "tasks_native",
        "tasks",
        ["key_name", "finished_at", "seq"],
        sqlite_where=_NATIVE,
        postgresql_where=_NATIVE,
    )
    op.create_index(
        "tasks_of_client",
        "tasks",
        ["client", "finished_at"],
        sqlite_where=_OF_CLIENT,
        postgresql_where=_OF_CLIENT,
    )
    op.drop_index("tasks_queued", "tasks")
    op.create_index(
        "tasks_queued",
        "tasks",
        [*_INDEX, "lane"],
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
    )
