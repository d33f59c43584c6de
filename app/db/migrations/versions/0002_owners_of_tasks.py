"""Owners of tasks and uploads, and the number of tasks per day and API key."""

from alembic import op
from sqlalchemy import Column, Integer, String, text

revision = "0002"
down_revision = "0001"

_QUEUED = text("status = 'queued'")


def upgrade() -> None:
    op.create_table(
        "key_usage",
        Column("key_name", String(40), primary_key=True),
        Column("day", String(10), primary_key=True),
        Column("tasks", Integer, nullable=False),
    )
    op.add_column("assets", Column("key_name", String(40)))
    op.add_column("tasks", Column("key_name", String(40)))
    op.create_index("tasks_of_key", "tasks", ["key_name", "seq"])
    op.drop_index("tasks_queued", "tasks")
    op.create_index(
        "tasks_queued",
        "tasks",
        ["rank", "seq", "route", "server", "expected", "key_name"],
        sqlite_where=_QUEUED,
        postgresql_where=_QUEUED,
    )
