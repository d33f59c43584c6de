"""The schema: migrations of Alembic make it, and bring an older one up.

Migrations are numbered, so that the names of their files tell the newest: Alembic, which takes a
seventh of a second to import, is needed only where there is one to run.
"""

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, column, func, inspect, select, table

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
NEWEST_REVISION = max(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))
MIGRATION_LOCK_ID = 0x6F1A_0001  # PostgreSQL's advisory lock: one process migrates at a time

_version = table("alembic_version", column("version_num"))  # Alembic's own


def is_current(connection: Connection) -> bool:
    """Is there nothing to do? A newer schema will do, too: migrations only add."""
    if not inspect(connection).has_table(_version.name):
        return False
    version = connection.scalar(select(_version)) or ""
    if version > NEWEST_REVISION:
        log.info("the database is of a newer gateway: %s, ours is %s", version, NEWEST_REVISION)
    return version >= NEWEST_REVISION


def bring_up(connection: Connection) -> None:
    """Run the migrations that are missing, in this transaction. Raises InvalidInput for a
    schema that is older than the first migration."""
    if connection.dialect.name == "postgresql":  # on SQLite the transaction is the lock
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK_ID)))
    if is_current(connection):  # another process was faster
        return
    migrate(connection)


def migrate(connection: Connection, to: str = NEWEST_REVISION) -> None:
    """Run what is missing. A database without a version may have the first schema already."""
    from alembic import command

    log.info("the database is brought up to version %s", to)
    command.upgrade(alembic_config(connection), to)


def alembic_config(connection: Connection) -> Any:
    """How Alembic's commands find our migrations, and the database."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
