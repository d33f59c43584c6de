"""A mask that comes in, put onto an upload: the outcome is another upload."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from app.files.decoding import apply_mask
from app.files.streams import Counted, pieces_of
from app.files.uploads import Upload, Uploads
from app.workers import Workers

PIECE = 1 << 20


async def masked_upload(
    uploads: Uploads,
    original: str,
    mask: AsyncIterator[bytes],
    *,
    max_bytes: int,
    decoders: Workers,
) -> Upload:
    """Keep the original with the mask's alpha. Raises FileNotFound, InvalidInput, PayloadTooLarge
    and StorageFull."""
    with tempfile.TemporaryDirectory(prefix="gateway-") as folder:
        painted, target = Path(folder, "mask"), Path(folder, "masked.png")
        async with uploads.on_disk(original) as path:
            await _write(painted, Counted(mask, max_bytes=max_bytes))
            await decoders.run(apply_mask, path, painted, target)
        return await uploads.save(f"masked-{Path(original).stem}.png", read_file(target))


async def read_file(path: Path) -> AsyncIterator[bytes]:
    """The bytes of a file of ours, piece by piece."""
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


async def _write(path: Path, chunks: Counted) -> None:
    with path.open("wb") as file:
        async for piece in pieces_of(chunks, PIECE):
            await asyncio.to_thread(file.write, piece)
