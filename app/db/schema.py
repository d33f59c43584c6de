"""Creation and upgrade of the schema by Alembic migrations.

Migrations are numbered, so that the file names show the newest one. Alembic, whose import takes a
seventh of a second, is only needed if there is a migration to run.
"""

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, column, func, inspect, select, table

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
NEWEST_REVISION = max(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))
MIGRATION_LOCK_ID = 0x6F1A_0001  # PostgreSQL advisory lock: one process migrates at a time

_version = table("alembic_version", column("version_num"))  # Alembic's table


def is_current(connection: Connection) -> bool:
    """Return whether the schema is current; a newer one is accepted, as migrations only add."""
    if not inspect(connection).has_table(_version.name):
        return False
    version = connection.scalar(select(_version)) or ""
    if version > NEWEST_REVISION:
        log.info("the database is of a newer gateway: %s, ours is %s", version, NEWEST_REVISION)
    return version >= NEWEST_REVISION


def bring_up(connection: Connection) -> None:
    """Run missing migrations in this transaction.

    Raises InvalidInput for a schema older than the first migration.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction is exclusive
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK_ID)))
    if is_current(connection):  # another process was faster
        return
    migrate(connection)


def migrate(connection: Connection, to: str = NEWEST_REVISION) -> None:
    """Run missing migrations; a database without a version may have the first schema already."""
    from alembic import command

    log.info("the database is brought up to version %s", to)
    command.upgrade(alembic_config(connection), to)


def alembic_config(connection: Connection) -> Any:
    """Return the configuration of Alembic with our migrations and this connection."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
