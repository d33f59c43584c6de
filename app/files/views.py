"""Smaller views of an image: made once, cached beside the original."""

import asyncio
import hashlib
import io
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from app.errors import InvalidInput
from app.files.atomic import write_atomically
from app.files.images import UNREADABLE, refuse_huge

ViewFormat = Literal["webp", "jpeg", "png"]
MAX_SIDE = 4096  # of the view


class Views:
    """Cached views in one folder. Work is done in threads, a few at a time."""

    def __init__(self, folder: Path, *, parallel: int = 2) -> None:
        self._folder = folder
        self._limit = asyncio.Semaphore(parallel)

    async def of(
        self,
        source: Path,
        *,
        width: int | None,
        height: int | None,
        format: ViewFormat,
        quality: int,
    ) -> Path:
        """The image scaled down to fit, keeping its proportions. Raises InvalidInput for what is
        no image that can be read, or too large a one."""
        size = (width, height)
        async with self._limit:
            return await asyncio.to_thread(self._view, source, size, format, quality)

    def _view(
        self, source: Path, size: tuple[int | None, int | None], format: ViewFormat, quality: int
    ) -> Path:
        stat = source.stat()
        what = f"{source}|{stat.st_mtime_ns}|{stat.st_size}|{size}|{format}|{quality}"
        name = hashlib.sha256(what.encode()).hexdigest()[:32]
        target = self._folder / f"{name}.{format}"
        if not target.exists():
            _make(source, target, size, format, quality)
        return target


def _make(
    source: Path,
    target: Path,
    size: tuple[int | None, int | None],
    format: ViewFormat,
    quality: int,
) -> None:
    try:
        with Image.open(source) as image:
            refuse_huge(image)
            view = ImageOps.exif_transpose(image)
            view.thumbnail((size[0] or MAX_SIDE, size[1] or MAX_SIDE))
            if format == "jpeg" and view.mode not in ("RGB", "L"):
                view = view.convert("RGB")
            content = io.BytesIO()
            view.save(content, format, quality=quality)
    except UNREADABLE as error:
        raise InvalidInput(f"No view can be made of {source.name!r}: it is no image.") from error
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, content.getvalue())
