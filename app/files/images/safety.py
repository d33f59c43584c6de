"""Safe handling of untrusted images with Pillow: formats, errors, memory limits, writing.

Only decoder.py, a process with limits, opens images, as Pillow's readers are not hardened.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, cast

from PIL import Image, UnidentifiedImageError

from app.errors import InvalidInput
from app.files.images.headers import check_head, webp_size
from app.files.images.jobs import MAX_DECODED, unwritten
from app.files.signatures import SNIFFED_BYTES, sniff

MAX_PIXELS = 89_000_000  # larger images are refused before decoding
MAX_SIDE = 65_535  # a row is decoded as a whole; JPEG has no larger sides
MAX_BYTES = 256 << 20  # Pillow reads WebP and AVIF files into memory
# Only these: Pillow would pass PostScript to Ghostscript, for example. Name: module.
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
# Pillow's decoders raise almost any exception for invalid files.
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
# Bytes per pixel by mode; 4 for all others.
_NARROW = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16L": 2, "I;16B": 2, "I;16N": 2}
# Additional bytes per pixel in decoders: canvases, planes, strips (measured, rounded up).
_BESIDES = {"WEBP": 12, "AVIF": 12, "TIFF": 4}


class NeedsMore(Exception):
    """Decoding is possible, but not with this little memory."""


class TakesTooMuch(InvalidInput):
    """A valid image that is too large to be decoded here."""


def open_image(path: Path, allowed: int = MAX_DECODED) -> Image.Image:
    """Open an image without decoding it.

    Raises InvalidInput for a huge one, UNREADABLE for other files, and NeedsMore if opening it
    needs more than `allowed` bytes.
    """
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
    """Refuse files that Pillow must not open.

    They are files with endless parts, and WebP files whose canvas Pillow would allocate before it
    checks the size.
    """
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES)
        check_head(head, file)
    if sniff(head) == "image/webp" and (size := webp_size(head)):
        _refuse_huge(*size)
        check_room(size[0] * size[1] * (_BESIDES["WEBP"] + 4), allowed)


def decoded_bytes(image: Image.Image, coded: int | None = None) -> int:
    """Return the bytes needed to decode an open image.

    `coded`: its pixels in the file if it is decoded at a smaller size.
    """
    pixels = image.width * image.height
    taken = pixels * (_NARROW.get(image.mode, 4) + _BESIDES.get(image.format or "", 0))
    if "progressive" in image.info:  # 16 bits per value are kept, whatever the decoded size
        taken += 2 * len(image.getbands()) * (coded or pixels)
    return taken


def check_room(taken: int, allowed: int) -> None:
    """Raise TakesTooMuch above MAX_DECODED, and NeedsMore above `allowed`."""
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
    """Yield a file for writing. Raises StorageFull and StorageUnavailable.

    Such errors are not the image's fault, which UNREADABLE would indicate.
    """
    try:
        with target.open("wb") as file:
            yield cast("IO[bytes]", _Target(file))
    except OSError as error:
        if error.errno is None:  # raised by Pillow itself
            raise
        raise unwritten(error) from error


class _Target:
    """A file without a descriptor, for Pillow.

    With a descriptor Pillow treats a partial write, such as the last one on a full disk, as
    complete.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.write = file.write


def _refuse_huge(width: int, height: int) -> None:
    """Raise InvalidInput for an image with too many pixels, before it is decoded."""
    if width * height > MAX_PIXELS:
        raise _huge()
    if max(width, height) > MAX_SIDE:
        raise InvalidInput(f"The image has a side of more than {MAX_SIDE} pixels.")


def _huge() -> InvalidInput:
    return InvalidInput(f"The image has more than {MAX_PIXELS} pixels.")
