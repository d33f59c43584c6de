"""Views whose file is gone go, too, and the rest counts, on both databases."""

from pathlib import Path

import pytest

from app.db.engine.database import Database
from app.events.hub import Hub
from app.files.images.views import VIEWS, folder_of_upload
from app.files.stores.local import LocalStore
from app.files.stores.store import FileStore, once
from app.scheduler.retention import Limits, Retention
from app.scheduler.view_cleanup import swept
from tests.integration.test_retention import made


@pytest.fixture
def files(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "outputs")


@pytest.fixture
def uploads(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "uploads")


async def keys(files: FileStore) -> set[str]:
    return {info.key async for info in files.files(VIEWS)}


async def test_what_has_lost_its_file_goes(
    database: Database, files: LocalStore, uploads: LocalStore
) -> None:
    task_id = await made(database, files)
    for key in ("a.png", ".keys/alice/a.png", ".keys/alice/b.png"):
        await uploads.save(key, once(b"1"))
        await files.save(f"{folder_of_upload(key)}/1.webp", once(b"12"))
    kept = await keys(files) | {f"{VIEWS}/{task_id}/a.png/1.webp"}
    await files.save(f"{VIEWS}/{task_id}/a.png/1.webp", once(b"123"))
    for gone in ("c.png", ".keys/bob/a.png"):  # deleted, of a key that is no more
        await files.save(f"{folder_of_upload(gone)}/1.webp", once(b"1234"))
    for number in range(1100):  # tasks that are no more: more than one query asks about
        await files.save(f"{VIEWS}/gone-{number}/a.png/1.webp", once(b"1"))
    found = await swept(database, files, uploads)
    assert await keys(files) == kept
    assert found.bytes == 9
    assert len(found.of_uploads) == 3


async def test_views_of_expired_tasks_go(
    database: Database, files: LocalStore, uploads: LocalStore
) -> None:
    task_id = await made(database, files)
    assert await Retention(database, files, Hub(), Limits(age=-1), uploads=uploads).sweep() == 1
    await files.save(f"{VIEWS}/{task_id}/a.png/1.webp", once(b"1"))  # made meanwhile
    assert await Retention(database, files, Hub(), Limits(), uploads=uploads).sweep() == 0
    assert await keys(files) == set()


async def test_views_of_uploads_count_and_go_before_results(
    database: Database, files: LocalStore, uploads: LocalStore
) -> None:
    await made(database, files)
    await uploads.save("a.png", once(b"1"))
    for number in range(3):
        await files.save(f"{folder_of_upload('a.png')}/{number}.webp", once(b"12345"))

    async def left(limits: Limits) -> tuple[int, int]:
        expired = await Retention(database, files, Hub(), limits, uploads=uploads).sweep()
        return expired, len(await keys(files))

    assert await left(Limits(bytes=20)) == (0, 3)
    assert await left(Limits(bytes=12)) == (0, 1), "the oldest, and no result"
    assert await left(Limits(bytes=4)) == (1, 0)
    await files.save(f"{folder_of_upload('a.png')}/9.webp", once(b"1"))
    assert await left(Limits(age=3600)) == (0, 1)
    assert await left(Limits(age=-1)) == (0, 0)
