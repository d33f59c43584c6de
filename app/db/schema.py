"""Creation of the schema, and its upgrade by Alembic migrations.

Migrations are numbered, so that the file names show the newest one. Alembic, which takes 8 MB and a
fifth of a start, is only needed if there is a migration to run: an empty database is made from the
tables, and a test keeps that equal to what all migrations make.
"""

import logging
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Inspector,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
)

from app.db.tables import metadata
from app.errors import InvalidInput

log = logging.getLogger(__name__)

FOLDER = Path(__file__).parent / "migrations"
REVISIONS = frozenset(path.name[:4] for path in (FOLDER / "versions").glob("[0-9]*.py"))
NEWEST_REVISION = max(REVISIONS)
MIGRATION_LOCK_ID = 0x6F1A_0001  # PostgreSQL advisory lock: one process migrates at a time

# As Alembic makes it, which reads and updates it.
_version = Table(
    "alembic_version",
    MetaData(),
    Column("version_num", String(32), nullable=False),
    PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
)


def is_current(connection: Connection) -> bool:
    """Return whether the schema can be used as it is.

    One of an unknown version is of a newer gateway, and accepted, as migrations only add. Raises
    InvalidInput if it lacks what this one uses: a newer one dropped it, or it is of no gateway.
    """
    inspector = inspect(connection)
    if not inspector.has_table(_version.name):
        return False
    version = connection.scalar(select(_version)) or ""
    if not version or version in REVISIONS:
        return version == NEWEST_REVISION
    _refuse_if_it_lacks_columns(inspector, version)
    log.info("the database is of a newer gateway: %s, ours is %s", version, NEWEST_REVISION)
    return True


def _refuse_if_it_lacks_columns(inspector: Inspector, version: str) -> None:
    tables = inspector.get_multi_columns().items()
    has = {f"{name}.{column['name']}" for (_, name), columns in tables for column in columns}
    wanted = {str(column) for table in metadata.sorted_tables for column in table.columns}
    if missing := sorted(wanted - has):
        raise InvalidInput(
            f"It is of version {version}, and ours is {NEWEST_REVISION}: it lacks "
            f"{', '.join(missing[:5])}.",
            hint="Start the gateway that it is of, or name another database.",
        )


def bring_up(connection: Connection) -> None:
    """Create the schema, or run missing migrations, in this transaction.

    Raises InvalidInput for a schema older than the first migration.
    """
    if connection.dialect.name == "postgresql":  # on SQLite the transaction is exclusive
        connection.execute(select(func.pg_advisory_xact_lock(MIGRATION_LOCK_ID)))
    if is_current(connection):  # another process was faster
        return
    if _is_empty(connection):
        _create(connection)
    else:
        migrate(connection)


def _is_empty(connection: Connection) -> bool:
    """Return whether no table of ours is visible; tables without a version are migrated."""
    inspector = inspect(connection)
    return not any(inspector.has_table(name) for name in (_version.name, *metadata.tables))


def _create(connection: Connection) -> None:
    metadata.create_all(connection, checkfirst=False)
    _version.create(connection)
    connection.execute(insert(_version).values(version_num=NEWEST_REVISION))
    log.info("the tables were made in the database, as of version %s", NEWEST_REVISION)


def migrate(connection: Connection, to: str = NEWEST_REVISION) -> None:
    """Run missing migrations; a database without a version may have the first schema already."""
    from alembic import command

    log.info("the database is being brought up to version %s", to)
    command.upgrade(alembic_config(connection), to)


def alembic_config(connection: Connection) -> Any:
    """Return the configuration of Alembic with our migrations and this connection."""
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    return config
