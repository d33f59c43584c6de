"""Removal of metadata (workflow, prompt, place, time) from an image, with its pixels unchanged.

The allowed parts are listed instead of the forbidden ones, since tools write chunks of their own
(ComfyUI's animated PNGs have the workflow in `comf`); data after the image is dropped, too.
Repetitive parts of a file are skipped in C code (fill bytes, stuffed bytes, restarts), and the
number of parts processed individually is limited.
"""

import mmap
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from PIL import Image

from app.errors import InvalidInput
from app.files.images.headers import JPEG, PNG, check_head
from app.files.images.safety import writing

_PNG_KEPT = frozenset(
    b"tRNS cHRM gAMA iCCP sBIT sRGB cICP mDCV cLLI bKGD hIST pHYs sPLT acTL fcTL fdAT".split()
)
_WEBP_KEPT = frozenset((b"VP8 ", b"VP8L", b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"ICCP"))
_WEBP_FLAGS = 0x08 | 0x04  # VP8X flags: EXIF present, XMP present
_ORIENTATION = 0x0112
_PIECE = 1 << 20
MAX_PARTS = 200_000  # chunks or segments of a file; a PNG of 512 MB in chunks of 8 kB has 65,536
_NOT_FILL = re.compile(rb"[^\xff]")
# A marker within a scan, without stuffed bytes and restarts
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")

Span = tuple[int, int]  # start, end (exclusive)


class _Broken(Exception):
    """The file violates its format."""


def without_metadata(source: Path, target: Path) -> None:
    """Write the image to `target` without metadata.

    Raises InvalidInput for a file that is no valid PNG, JPEG or WebP, StorageFull and
    StorageUnavailable.
    """
    if not source.stat().st_size:
        raise _cannot(source.name)
    with (
        source.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        writing(target) as out,
    ):
        try:
            if data[:8] == PNG:
                _copy(data, out, _png(data))
            elif data[:2] == JPEG:
                _jpeg(data, out, source)
            elif data[:4] == b"RIFF" and data[8:12] == b"WEBP":
                _webp(data, out)
            else:
                raise _cannot(source.name)
        except (_Broken, struct.error, IndexError, MemoryError) as error:
            raise _cannot(source.name) from error


def _cannot(name: str) -> InvalidInput:
    return InvalidInput(
        f"The metadata of {name!r} cannot be taken out: it is no PNG, JPEG or WebP that is whole.",
        hint="Views with format= hold no metadata, whatever they are made from.",
    )


def _copy(data: mmap.mmap, out: IO[bytes], spans: Iterator[Span]) -> None:
    for start, end in spans:
        for at in range(start, end, _PIECE):
            out.write(data[at : min(at + _PIECE, end)])


def _png(data: mmap.mmap) -> Iterator[Span]:
    yield 0, 8
    at = 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data):
            raise _Broken
        if kind[:1].isupper() or kind in _PNG_KEPT:
            yield at, end
        if kind == b"IEND":
            return
        at = end
    raise _Broken


def _webp(data: mmap.mmap, out: IO[bytes]) -> None:
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise _Broken
    spans, at, parts = [], 12, 0
    while at + 8 <= end:
        parts += 1
        kind, length = struct.unpack_from("<4sI", data, at)
        following = at + 8 + length + length % 2
        if following > len(data) or parts > MAX_PARTS:
            raise _Broken
        if kind in _WEBP_KEPT:
            spans.append((at, following))
        at = following
    size = 4 + sum(end - start for start, end in spans)
    out.write(b"RIFF" + struct.pack("<I", size) + b"WEBP")
    for start, end in spans:
        if data[start : start + 4] == b"VP8X":
            flags = data[start + 8] & ~_WEBP_FLAGS
            out.write(data[start : start + 8] + bytes([flags]) + data[start + 9 : end])
        else:
            _copy(data, out, iter([(start, end)]))


def _jpeg(data: mmap.mmap, out: IO[bytes], source: Path) -> None:
    out.write(JPEG)
    if (turned := _orientation(source)) not in (None, 1):
        exif = Image.Exif()
        exif[_ORIENTATION] = turned
        content = exif.tobytes()
        out.write(b"\xff\xe1" + struct.pack(">H", 2 + len(content)) + content)
    _copy(data, out, _jpeg_segments(data))
    out.write(b"\xff\xd9")


def _jpeg_segments(data: mmap.mmap) -> Iterator[Span]:
    at = 2
    for _ in range(MAX_PARTS):
        found = _NOT_FILL.search(data, at)
        if data[at] != 0xFF or found is None:
            raise _Broken
        marker, at = data[found.start()], found.start() - 1
        if marker == 0xD9:
            return
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        if marker == 0xDA:
            end = _end_of_scan(data, end)
        if _is_kept(data, at, marker):
            yield at, end
        at = end
    raise _Broken


def _is_kept(data: mmap.mmap, at: int, marker: int) -> bool:
    """Keep JFIF, color profiles and Adobe's color information of the application segments."""
    if marker == 0xE2:
        return data[at + 4 : at + 16] == b"ICC_PROFILE\0"
    return marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE)


def _end_of_scan(data: mmap.mmap, at: int) -> int:
    """Return the position of the next marker; in a scan 0xFF is followed by 0 or a restart."""
    found = _MARKER.search(data, at)
    if found is None:
        raise _Broken
    return found.start()


def _orientation(source: Path) -> int | None:
    try:
        with source.open("rb") as file:
            check_head(JPEG, file)
        with Image.open(source, formats=("JPEG", "MPO")) as image:
            return image.getexif().get(_ORIENTATION)
    except (OSError, ValueError, SyntaxError, KeyError, TypeError, MemoryError, struct.error):
        return None
