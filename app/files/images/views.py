"""Views of files: scaled, converted, without metadata. Created once and stored with the results."""

import asyncio
import hashlib
from contextlib import suppress

from app.errors import GatewayError
from app.files.images.decoding import make_view
from app.files.images.jobs import View
from app.files.images.mask_uploads import read_file, work_folder
from app.files.stores.store import FileStore
from app.limits.periodic import cancel_all
from app.limits.worker_threads import Workers

VIEWS = ".views"  # folder of the views in the store, by the key of their file
INPUTS = "input"  # subfolder for views of uploads
MAX_VIEWS = 20  # per file; the oldest are deleted


class Views:
    """Creates views in processes with limits, a few at a time; equal requests share one job."""

    def __init__(self, files: FileStore, decoders: Workers) -> None:
        self._files = files
        self._decoders = decoders
        self._making: dict[str, asyncio.Task[None]] = {}

    async def of(
        self, source: FileStore, key: str, view: View, *, content_type: str, below: str = ""
    ) -> str:
        """Return the key of a view in the store of results, of the file `key` in `source`.

        `below` separates stores with equal keys. Raises FileNotFound, NotInstalled, StorageFull,
        StorageUnavailable, and InvalidInput for a file that is no image or too large.
        """
        info = await source.stat(key)
        suffix = view.format or "plain"
        digest = hashlib.sha256(f"{info.etag}|{view.identity}".encode()).hexdigest()[:24]
        wanted = "/".join(part for part in (VIEWS, below, key, f"{digest}.{suffix}") if part)
        making = self._making.get(wanted)
        if making is None:
            making = asyncio.create_task(self._make(source, key, view, content_type, wanted))
            self._making[wanted] = making
            making.add_done_callback(lambda _: self._making.pop(wanted))
        await asyncio.shield(making)  # other requests may wait for it
        return wanted

    async def close(self) -> None:
        """Cancel the views that are being created."""
        await cancel_all(self._making.values())

    async def _make(
        self, source: FileStore, key: str, view: View, content_type: str, wanted: str
    ) -> None:
        # Within the shared job, so that it cannot change in between
        if await self._files.exists(wanted):
            return
        async with source.on_disk(key) as path:
            with work_folder() as folder:
                target = folder / "view"
                await self._decoders.run(make_view, path, target, view, content_type)
                await self._files.save(wanted, read_file(target))
        with suppress(GatewayError):  # the view itself was created
            await self._make_room(wanted)

    async def _make_room(self, newest: str) -> None:
        """Delete the oldest views of a file, to bound the disk space of requests for many sizes."""
        folder = newest.rpartition("/")[0]
        others = [info async for info in self._files.files(folder) if info.key != newest]
        others.sort(key=lambda info: info.modified_at, reverse=True)
        for info in others[MAX_VIEWS - 1 :]:
            await self._files.delete(info.key)


async def forget_results(files: FileStore, *task_ids: str) -> None:
    """Delete all files of these tasks, and their views."""
    folders = [folder for id in task_ids for folder in (id, f"{VIEWS}/{id}")]
    await files.delete_all(folders)


async def size_of_views(files: FileStore, task_id: str) -> int:
    """Return the bytes of the views of a task's files."""
    return sum([info.size_bytes async for info in files.files(f"{VIEWS}/{task_id}")])


def folder_of_upload(key: str) -> str:
    """Return the folder of an upload's views, by the key of the upload."""
    return f"{VIEWS}/{INPUTS}/{key}"


def upload_of(key: str) -> str | None:
    """Return the key of the upload that a view belongs to; None for a view of a result."""
    parts = key.split("/")
    return "/".join(parts[2:-1]) if parts[1] == INPUTS else None
