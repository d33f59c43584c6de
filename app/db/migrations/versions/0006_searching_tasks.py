"""Search texts of tasks, and an index by workflow."""

import json

from alembic import op
from sqlalchemy import Column, Integer, Text, column, insert, select, table

from app.db.task_filters import found_by

revision = "0006"
down_revision = "0005"

_TASKS = table("tasks", *map(column, ("seq", "filename", "params", "metadata")))
_PART = 500


def upgrade() -> None:
    texts = op.create_table(
        "task_texts",
        Column("seq", Integer, primary_key=True, autoincrement=False),
        Column("text", Text, nullable=False),
    )
    op.create_index("tasks_of_workflow", "tasks", ["filename", "seq"])
    op.create_index("tasks_by_time", "tasks", ["created_at", "seq"])
    connection, last = op.get_bind(), 0
    while True:
        query = select(_TASKS).where(_TASKS.c.seq > last).order_by(_TASKS.c.seq).limit(_PART)
        found = connection.execute(query).all()
        if not found:
            return
        last = found[-1].seq
        connection.execute(
            insert(texts),
            [
                {
                    "seq": row.seq,
                    "text": found_by(
                        row.filename, json.loads(row.params), json.loads(row.metadata)
                    ),
                }
                for row in found
            ],
        )
