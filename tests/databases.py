"""Databases of a test's own, so that tests that run beside each other do not meet."""

import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from tests import services

POSTGRESQL = os.environ.get("TEST_POSTGRESQL_URL", "postgresql://postgres@127.0.0.1:5432/test")
KINDS = ("sqlite", pytest.param("postgresql", marks=pytest.mark.service))


@contextlib.asynccontextmanager
async def postgresql() -> AsyncIterator[str]:
    """The URL of a new database; skips where no server answers."""
    services.asked_for("PostgreSQL")
    asyncpg = services.package("asyncpg")
    try:
        server = await asyncpg.connect(POSTGRESQL)
    except OSError as error:
        services.absent(f"PostgreSQL is not at hand: {error}")
    name = f"gateway_{uuid4().hex}"
    await server.execute(f"CREATE DATABASE {name}")
    try:
        yield f"{POSTGRESQL.rpartition('/')[0]}/{name}"
    finally:
        await server.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await server.close()


@contextlib.asynccontextmanager
async def database_url(kind: str, folder: Path) -> AsyncIterator[str]:
    """The URL of a new one; `kind` is "sqlite" or "postgresql"."""
    if kind == "postgresql":
        async with postgresql() as url:
            yield url
    else:
        yield f"sqlite:///{folder}/tasks.db"
