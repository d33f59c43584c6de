"""Images that strangers sent: which are opened, what Pillow raises for bad ones, how large is too
large."""

import struct
import zlib
from pathlib import Path

from PIL import Image, UnidentifiedImageError

from app.errors import InvalidInput

MAX_PIXELS = 89_000_000  # beyond it an image is refused before it is decoded
MAX_BYTES = 256 << 20  # of a file: Pillow reads WebP and AVIF whole
# No others: Pillow would hand PostScript to Ghostscript, for one.
_WANTED = ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "GIF", "BMP", "TIFF", "PPM")
Image.init()
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


def open_image(path: Path) -> Image.Image:
    """The image, not decoded yet. Raises InvalidInput for a huge one, UNREADABLE for no image."""
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"The image file is larger than {MAX_BYTES >> 20} MiB.")
    try:
        image = Image.open(path, formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _huge() from error
    try:
        refuse_huge(image)
    except InvalidInput:
        image.close()
        raise
    return image


def refuse_huge(*images: Image.Image) -> None:
    """Raises InvalidInput for an image of too many pixels. Opening one has not decoded it yet."""
    if any(image.width * image.height > MAX_PIXELS for image in images):
        raise _huge()


def _huge() -> InvalidInput:
    return InvalidInput(f"The image has more than {MAX_PIXELS} pixels.")
