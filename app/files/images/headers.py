"""Checks of image headers before Pillow reads them.

Pillow processes each part separately, joins parts that grow, and allocates memory for a WebP before
it checks the size.
"""

import re
import struct
from typing import IO

JPEG = b"\xff\xd8"
PNG = b"\x89PNG\r\n\x1a\n"
MAX_CHUNKS = 100_000  # of a PNG; 512 MB in chunks of 8 kB are 65,536
MAX_SEGMENTS = 512  # before the image data; a color profile has 255 at most
MAX_HEAD = 64 << 20  # bytes before the image data
MAX_FILL = 4096  # consecutive 0xFF bytes, which may precede a marker
_MARKER = re.compile(rb"\xff+([^\xff])")


def check_head(head: bytes, file: IO[bytes]) -> None:
    """Raise ValueError for an image with too many parts.

    A truncated or invalid one passes; the reader reports it.
    """
    if head.startswith(JPEG):
        _check_segments(file)
    elif head.startswith(PNG):
        _check_chunks(file)


def _check_chunks(file: IO[bytes]) -> None:
    at = len(PNG)
    for _ in range(MAX_CHUNKS):
        file.seek(at)
        start = file.read(8)
        if len(start) < 8 or start[4:] == b"IEND":
            return
        at += 12 + int.from_bytes(start[:4])
    raise ValueError("too many chunks")


def _check_segments(file: IO[bytes]) -> None:
    """Check the segments before the image data."""
    file.seek(2)
    for _ in range(MAX_SEGMENTS):
        at = file.tell()
        piece = file.read(MAX_FILL)
        found = _MARKER.match(piece)
        if found is None:
            if len(piece) == MAX_FILL and not piece.strip(b"\xff"):
                raise ValueError("too many fill bytes")
            return
        marker, at = found[1][0], at + found.end()
        if marker in (0xDA, 0xD9):
            return
        file.seek(at)
        length = file.read(2)
        at += struct.unpack(">H", length)[0] if len(length) == 2 else 0
        if len(length) < 2 or at > MAX_HEAD:
            return
        file.seek(at)
    raise ValueError("too many segments")


def webp_size(head: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP by its first chunk; None for an unknown one."""
    if len(head) < 30:
        return None
    match head[12:16]:
        case b"VP8X":
            wide, high = (int.from_bytes(head[at : at + 3], "little") for at in (24, 27))
            return wide + 1, high + 1
        case b"VP8L":
            bits = int.from_bytes(head[21:25], "little")
            return (bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1
        case b"VP8 ":
            wide, high = struct.unpack_from("<HH", head, 26)
            return wide & 0x3FFF, high & 0x3FFF
    return None
