"""Deletes views whose file is gone, and computes the size of the others."""

import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, select

from app.db.engine.database import Database
from app.db.engine.list_parameters import any_of
from app.db.tables import tasks
from app.files.images.views import VIEWS, folder_of_upload, upload_of
from app.files.stores.store import FileInfo, FileStore
from app.tasks.model import Status

AT_ONCE = 500  # views per database query
MOST_KNOWN = 10_000  # views of uploads that are kept in memory, oldest first
_WITH_RESULTS = select(tasks.c.task_id).where(
    any_of(tasks.c.task_id, "these"), tasks.c.status != Status.EXPIRED
)


@dataclass(slots=True)
class ViewsFound:
    """The bytes of all views, and the oldest views of uploads, oldest first."""

    bytes: int = 0
    of_uploads: list[FileInfo] = field(default_factory=list)


async def swept(database: Database, files: FileStore, uploads: FileStore) -> ViewsFound:
    """Delete the views of deleted or expired tasks and deleted uploads; return the rest.

    Such views remain when one is made while its file is deleted, or a process ends in between.
    """
    found = ViewsFound()
    async for part in _parts(files):
        lost = await _lost(database, part, uploads)
        if lost:
            await files.delete_all(list(lost))
        kept = [info for info in part if _folder_of(info) not in lost]
        found.bytes += sum(info.size_bytes for info in kept)
        of_uploads = [info for info in kept if upload_of(info.key) is not None]
        found.of_uploads = heapq.nsmallest(
            MOST_KNOWN, [*found.of_uploads, *of_uploads], key=lambda info: info.modified_at
        )
    return found


async def _parts(files: FileStore) -> AsyncIterator[Sequence[FileInfo]]:
    part: list[FileInfo] = []
    async for info in files.files(VIEWS):
        part.append(info)
        if len(part) == AT_ONCE:
            yield part
            part = []
    if part:
        yield part


def _folder_of(info: FileInfo) -> str:
    """Return the folder of all views of the same upload or task."""
    key = upload_of(info.key)
    return f"{VIEWS}/{info.key.split('/')[1]}" if key is None else folder_of_upload(key)


async def _lost(database: Database, part: Sequence[FileInfo], uploads: FileStore) -> set[str]:
    """Return the folders whose upload or task is gone or has no results."""
    keys = {info.key: upload_of(info.key) for info in part}
    named = {key for key in keys.values() if key is not None}
    lost = {folder_of_upload(key) for key in named if not await uploads.exists(key)}
    task_ids = {view.split("/")[1] for view, key in keys.items() if key is None}

    def work(connection: Connection) -> set[str]:
        there = connection.scalars(_WITH_RESULTS, {"these": list(task_ids)})
        return task_ids - {str(task_id) for task_id in there}

    gone = await database.read(work) if task_ids else set()
    return lost | {f"{VIEWS}/{task_id}" for task_id in gone}
