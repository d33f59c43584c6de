"""Views of files: smaller, in other formats, without metadata. Made once, kept beside results."""

import asyncio
import hashlib
from contextlib import suppress

from app.errors import GatewayError
from app.files.images.decoding import make_view
from app.files.images.mask_uploads import read_file, work_folder
from app.files.images.render import View
from app.files.stores.store import FileStore
from app.limits.periodic import cancel_all
from app.limits.worker_threads import Workers

VIEWS = ".views"  # the folder of the store that holds them, by the key of their file
INPUTS = "input"  # the folder in it for those of uploads
MAX_VIEWS = 20  # views of one file; the oldest make room


class Views:
    """Made in processes with limits, a few at a time; requests for one view wait for one making."""

    def __init__(self, files: FileStore, decoders: Workers) -> None:
        self._files = files
        self._decoders = decoders
        self._making: dict[str, asyncio.Task[None]] = {}

    async def of(
        self, source: FileStore, key: str, view: View, *, content_type: str, below: str = ""
    ) -> str:
        """The key of the view of a file that is in `source`; it is in the store of results.

        `below` keeps apart stores that have the same keys. Raises FileNotFound, NotInstalled,
        StorageFull, StorageUnavailable, and InvalidInput for what is no picture, or too large a
        one.
        """
        info = await source.stat(key)
        suffix = view.format or "plain"
        digest = hashlib.sha256(f"{info.etag}|{view}".encode()).hexdigest()[:24]
        wanted = "/".join(part for part in (VIEWS, below, key, f"{digest}.{suffix}") if part)
        making = self._making.get(wanted)
        if making is None:
            making = asyncio.create_task(self._make(source, key, view, content_type, wanted))
            self._making[wanted] = making
            making.add_done_callback(lambda _: self._making.pop(wanted))
        await asyncio.shield(making)  # others may wait for it, too
        return wanted

    async def close(self) -> None:
        """Give up the views that are being made."""
        await cancel_all(self._making.values())

    async def _make(
        self, source: FileStore, key: str, view: View, content_type: str, wanted: str
    ) -> None:
        if await self._files.exists(wanted):  # asked here, so that nobody asks just before it is
            return
        async with source.on_disk(key) as path:
            with work_folder() as folder:
                target = folder / "view"
                await self._decoders.run(make_view, path, target, view, content_type)
                await self._files.save(wanted, read_file(target))
        with suppress(GatewayError):  # the view is there all the same
            await self._make_room(wanted)

    async def _make_room(self, newest: str) -> None:
        """So that whoever asks for a picture in every size does not fill the disk."""
        folder = newest.rpartition("/")[0]
        others = [info async for info in self._files.files(folder) if info.key != newest]
        others.sort(key=lambda info: info.modified_at, reverse=True)
        for info in others[MAX_VIEWS - 1 :]:
            await self._files.delete(info.key)


async def forget_results(files: FileStore, *task_ids: str) -> None:
    """Remove all files of these tasks, and the views of them."""
    folders = [folder for id in task_ids for folder in (id, f"{VIEWS}/{id}")]
    await files.delete_all(folders)


async def size_of_views(files: FileStore, task_id: str) -> int:
    """Bytes of the views of a task's files."""
    return sum([info.size_bytes async for info in files.files(f"{VIEWS}/{task_id}")])


def folder_of_upload(key: str) -> str:
    """Where the views of an upload are, by its key in its store."""
    return f"{VIEWS}/{INPUTS}/{key}"


def upload_of(key: str) -> str | None:
    """The key of the upload that a view was made of; None for one of a result."""
    parts = key.split("/")
    return "/".join(parts[2:-1]) if parts[1] == INPUTS else None
