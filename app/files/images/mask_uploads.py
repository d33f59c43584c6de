"""Application of a mask to an upload, which creates another upload."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path

from app.files.images.decoding import apply_mask
from app.files.images.jobs import unwritten
from app.files.stores import temporary
from app.files.stores.streams import Counted, pieces_of
from app.files.uploads import Upload, Uploads
from app.limits.worker_threads import Workers

PIECE = 1 << 20


async def masked_upload(
    uploads: Uploads,
    original: AbstractAsyncContextManager[Path],
    mask: AsyncIterator[bytes],
    *,
    name: str,
    max_bytes: int,
    decoders: Workers,
    subfolder: str = "",
    overwrite: bool = False,
) -> Upload:
    """Store the original with the mask's alpha channel as an upload of this name.

    Raises FileNotFound, InvalidInput, PayloadTooLarge, StorageFull and StorageUnavailable.
    """
    with work_folder() as folder:
        painted, target = folder / "mask", folder / "masked.png"
        async with original as path:
            await _write(painted, Counted(mask, max_bytes=max_bytes))
            await decoders.run(apply_mask, path, painted, target)
        return await uploads.save(name, read_file(target), subfolder=subfolder, overwrite=overwrite)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Yield a folder for temporary files. Raises StorageFull and StorageUnavailable."""
    try:
        with temporary.work_folder() as folder:
            yield folder
    except OSError as error:
        if error.errno is None:  # not an error of the file system
            raise
        raise unwritten(error) from error


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """Yield the bytes of a local file in chunks."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


async def _write(path: Path, chunks: Counted) -> None:
    with path.open("wb") as file:
        async for piece in pieces_of(chunks, PIECE):
            await asyncio.to_thread(file.write, piece)
