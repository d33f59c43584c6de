"""The gateway processes on a database."""

from alembic import op
from sqlalchemy import Boolean, Column, Float, String

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_table(
        "runners",
        Column("runner_id", String(200), primary_key=True),
        Column("lease_until", Float, nullable=False),
        Column("alone", Boolean, nullable=False),
    )
