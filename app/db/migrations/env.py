"""Alembic runs this to migrate: over the connection that app/db/schema.py gives it."""

from alembic import context

from app.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,  # scripts/migration compares with it
)
context.run_migrations()
