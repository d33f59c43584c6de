"""Graphs shared by tasks of a batch, and parameters that are too long for a task's row."""

from alembic import op
from sqlalchemy import Column, String, Text

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "graphs",
        Column("graph_id", String(64), primary_key=True),
        Column("prompt", Text, nullable=False),
    )
    op.add_column("prompts", Column("graph_id", String(64)))
    op.add_column("prompts", Column("changes", Text))
    op.add_column("prompts", Column("params", Text))
    op.create_index("ix_prompts_graph_id", "prompts", ["graph_id"])
    op.add_column("tasks", Column("cut", Text))
