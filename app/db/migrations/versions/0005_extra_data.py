"""Extra data of prompts, stored once for all tasks that share it."""

from alembic import op
from sqlalchemy import Column, String, Text

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "extras",
        Column("extra_id", String(64), primary_key=True),
        Column("extra", Text, nullable=False),
    )
    op.add_column("prompts", Column("extra_id", String(64)))
    op.create_index("ix_prompts_extra_id", "prompts", ["extra_id"])
