"""Alembic's entry point: migrates over the connection that app/db/schema.py passes."""

from alembic import context

from app.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,  # scripts/migration compares with it
)
context.run_migrations()
