"""Lanes of deliveries, and their hosts without ports."""

from alembic import op
from sqlalchemy import Column, String, text

revision = "0004"
down_revision = "0003"

_OPEN, _PENDING = text("state = 'open'"), text("status = 'pending'")


def upgrade() -> None:
    for table in ("webhooks", "deliveries"):
        op.add_column(table, Column("lane", String(50), nullable=False, server_default=""))
        op.add_column(table, Column("place", String(300), nullable=False, server_default=""))
    op.create_index(
        "webhooks_of_lane",
        "webhooks",
        ["state", "lane", "id"],
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index(
        "deliveries_of_lane",
        "deliveries",
        ["status", "lane", "next_at", "place", "host"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
