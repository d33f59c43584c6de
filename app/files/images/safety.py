"""Images that strangers sent: which are opened, what Pillow raises for bad ones, how much memory
one may take, and how another one is written. Only decoder.py, a process with limits, opens any:
Pillow's readers were written for good files."""

import errno
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, cast

from PIL import Image, UnidentifiedImageError

from app.errors import InvalidInput, StorageFull, StorageUnavailable
from app.files.images.headers import check_head, webp_size
from app.files.magic import SNIFFED_BYTES, sniff

MAX_PIXELS = 89_000_000  # beyond it an image is refused before it is decoded
MAX_SIDE = 65_535  # a row is decoded as a whole; JPEG has no longer ones
MAX_BYTES = 256 << 20  # of a file: Pillow reads WebP and AVIF whole
MAX_DECODED = 272 << 20  # bytes that the decoding of one image may take: 8192x8192 does
# No others: Pillow would hand PostScript to Ghostscript, for one. By name: the module with it.
_WANTED = {
    "PNG": "Png",
    "JPEG": "Jpeg",
    "MPO": "Mpo",
    "WEBP": "WebP",
    "AVIF": "Avif",
    "GIF": "Gif",
    "BMP": "Bmp",
    "TIFF": "Tiff",
    "PPM": "Ppm",
}
for _module in _WANTED.values():
    import_module(f"PIL.{_module}ImagePlugin")
FORMATS = tuple(name for name in _WANTED if name in Image.OPEN)
# Its decoders were written for good files; bad ones surface as nearly anything.
UNREADABLE = (
    UnidentifiedImageError,
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    RuntimeError,
    MemoryError,
    struct.error,
    zlib.error,
)
# Bytes of a pixel in memory, by mode; 4 where it is not here.
_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# What decoders hold of each pixel besides: canvases, planes, strips (measured, rounded up).
_BESIDES = {"WEBP": 12, "AVIF": 12, "TIFF": 4}


class NeedsMore(Exception):
    """It can be decoded, but not within so little memory."""


class TakesTooMuch(InvalidInput):
    """An image that may be used, but not decoded here."""


def open_image(path: Path, allowed: int = MAX_DECODED) -> Image.Image:
    """The image, not decoded yet. Raises InvalidInput for a huge one, UNREADABLE for no image, and
    NeedsMore where it takes more than `allowed` bytes to open it."""
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"The image file is larger than {MAX_BYTES >> 20} MiB.")
    _look_at_head(path, allowed)
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _huge() from error
    try:
        _refuse_huge(*image.size)
    except InvalidInput:
        image.close()
        raise
    return image


def _look_at_head(path: Path, allowed: int) -> None:
    """What Pillow is not to open: a file of parts without end, a WebP for which it
    would make canvases before it tells the size."""
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES)
        check_head(head, file)
    if sniff(head) == "image/webp" and (size := webp_size(head)):
        _refuse_huge(*size)
        check_room(size[0] * size[1] * (_BESIDES["WEBP"] + 4), allowed)


def decoded_bytes(image: Image.Image, coded: int | None = None) -> int:
    """What it takes to decode an image that was opened. `coded`: its pixels in the file, where it
    will be decoded smaller."""
    pixels = image.width * image.height
    taken = pixels * (_NARROW.get(image.mode, 4) + _BESIDES.get(image.format or "", 0))
    if "progressive" in image.info:  # 16 bits of each value are kept, whatever the size wanted
        taken += 2 * len(image.getbands()) * (coded or pixels)
    return taken


def check_room(taken: int, allowed: int) -> None:
    """Raises InvalidInput for what takes more than there is, and NeedsMore where it is less than
    there may be."""
    if taken > MAX_DECODED:
        raise TakesTooMuch(
            f"The image takes {taken >> 20} MiB of memory to decode; "
            f"{MAX_DECODED >> 20} are allowed.",
            hint="Send a smaller one, or one without so many bits, layers or scans.",
        )
    if taken > allowed:
        raise NeedsMore


@contextmanager
def writing(target: Path) -> Iterator[IO[bytes]]:
    """A file that is written. Raises StorageFull and StorageUnavailable where it cannot be: no
    fault of the picture, which is what UNREADABLE would tell."""
    try:
        with target.open("wb") as file:
            yield cast("IO[bytes]", _Target(file))
    except OSError as error:
        if error.errno is None:  # Pillow's own
            raise
        raise unwritten(error) from error


def unwritten(error: OSError) -> InvalidInput | StorageFull | StorageUnavailable:
    """What it means that the system would not write a file."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(
            "There is no room left to make the picture.", hint="Make room for temporary files."
        )
    if error.errno == errno.EFBIG:  # the limit of the process
        return InvalidInput("What would be made of it is too large a file.")
    return StorageUnavailable(f"The picture cannot be written: {error.strerror}.")


class _Target:
    """All that Pillow needs of a file to write one. It must not have the descriptor: there it
    takes half a write, the last one on a full disk, for a whole one."""

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


def _refuse_huge(width: int, height: int) -> None:
    """Raises InvalidInput for an image of too many pixels. Opening one has not decoded it yet."""
    if width * height > MAX_PIXELS:
        raise _huge()
    if max(width, height) > MAX_SIDE:
        raise InvalidInput(f"The image has a side of more than {MAX_SIDE} pixels.")


def _huge() -> InvalidInput:
    return InvalidInput(f"The image has more than {MAX_PIXELS} pixels.")
