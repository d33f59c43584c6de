"""One view made from one file on disk. Slow, and of files made to harm: runs in decoder.py."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image

from app.errors import InvalidInput, NotInstalled
from app.files.images import video_frame
from app.files.images.metadata import without_metadata
from app.files.images.safety import (
    MAX_DECODED,
    MAX_PIXELS,
    UNREADABLE,
    NeedsMore,
    check_room,
    decoded_bytes,
    open_image,
    unwritten,
    writing,
)
from app.files.magic import SNIFFED_BYTES, sniff

ViewFormat = Literal["webp", "jpeg", "png", "avif"]
MAX_SIDE = 4096  # of the view
FRAME_SECONDS = 25.0  # after which a video is given up
STRIP = 2_000_000  # pixels that are converted and scaled at a time
ENCODING = 16  # bytes that it takes to write a pixel of the view
_GAP = 2  # JPEG is decoded at this many times the size that is wanted, or more
_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
    "audio/ogg": "ogg",
    "video/ogg": "ogg",
}
DRAFTED = ("JPEG", "MPO")  # decoded in an eighth of the size, if that is enough
_ORIENTATION = 0x0112
_TURNED = range(5, 9)  # orientations that swap width and height
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class View:
    """What is wanted: a picture in a format, or (`format` None) the file without its metadata."""

    format: ViewFormat | None
    width: int | None = None
    height: int | None = None
    quality: int = 85


def make_view(
    source: Path, target: Path, view: View, content_type: str, allowed: int = MAX_DECODED
) -> None:
    """Write the view to `target`. Raises InvalidInput, NotInstalled, StorageFull,
    StorageUnavailable, and NeedsMore where more than `allowed` bytes are needed; `target` may be
    half written then."""
    if view.format is None:
        without_metadata(source, target)
    elif content_type.startswith("video/"):
        frame = target.with_suffix(".frame.png")
        check_room(MAX_DECODED, allowed)
        _first_frame(source, frame)
        _scaled(frame, target, view, source.name, allowed)
        frame.unlink()
    else:
        _scaled(source, target, view, source.name, allowed)


def _scaled(source: Path, target: Path, view: View, name: str, allowed: int) -> None:
    try:
        with open_image(source, allowed) as image:
            if image.format not in DRAFTED:  # to ask for the EXIF of a PNG decodes it
                check_room(decoded_bytes(image), allowed)
            turn = image.getexif().get(_ORIENTATION)
            profile = image.info.get("icc_profile")
            small = _fitted(image, view, allowed, turned=turn in _TURNED)
            image.close()  # which frees the pixels; the end of the context does not
        if turn in _UPRIGHT:
            small = small.transpose(_UPRIGHT[turn])
        # Nothing else of what stood in it: not the prompt, nor where it was taken.
        about = {"icc_profile": profile} if profile else {}
        with writing(target) as file:
            small.save(file, view.format, quality=view.quality, **about)
    except UNREADABLE as error:
        raise InvalidInput(
            f"No view can be made of {name!r}: it is no image that can be read."
        ) from error


def _fitted(image: Image.Image, view: View, allowed: int, *, turned: bool) -> Image.Image:
    """The image as the view wants it, scaled down to fit. It takes the memory of the decoded
    image, and of a strip besides: conversions of the whole would take as much again."""
    room = (view.width or MAX_SIDE, view.height or MAX_SIDE)
    size = fitting(image.size, room[::-1] if turned else room)
    coded, box = image.size, (float(image.width), float(image.height))
    drafted = image.draft(None, (size[0] * _GAP, size[1] * _GAP))  # of JPEG: decoded smaller
    if drafted is not None:
        box = drafted[1][2:]
    check_room(decoded_bytes(image, coded[0] * coded[1]), allowed)
    if allowed < MAX_DECODED and size[0] * size[1] * ENCODING > allowed:
        raise NeedsMore
    image.load()
    result: Image.Image | None = None
    for top, strip, part in _strips(image, box, size):
        plain = _in_mode_for(strip, view.format)
        done = plain.resize((size[0], part[1]), Image.Resampling.BICUBIC, part[0], _GAP)
        if result is None:
            result = Image.new(done.mode, size)
        result.paste(done, (0, top))
    assert result is not None
    return result


def _strips(
    image: Image.Image, box: tuple[float, float], size: Size
) -> Iterator[tuple[int, Image.Image, tuple[tuple[float, float, float, float], int]]]:
    """The image in strips for rows of a picture of `size`: the first row, the strip with a margin
    for the filter, where in it the rows come from, and how many rows."""
    ratio = box[1] / size[1]
    margin = math.ceil(4 * ratio) + 2
    rows = max(1, int(STRIP / image.width / ratio))
    for top in range(0, size[1], rows):
        count = min(rows, size[1] - top)
        first, last = top * ratio, min((top + count) * ratio, box[1])
        above = max(0, math.floor(first) - margin)
        below = min(image.height, math.ceil(last) + margin)
        strip = image.crop((0, above, image.width, below))
        yield top, strip, ((0.0, first - above, box[0], last - above), count)


def fitting(size: Size, room: Size) -> Size:
    """The size scaled down to fit into `room`, its sides as before to each other; never larger."""
    scale = min(room[0] / size[0], room[1] / size[1], 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _in_mode_for(image: Image.Image, format: ViewFormat | None) -> Image.Image:
    """The image in a mode that the format can hold."""
    if image.mode.startswith(("I", "F")):  # 16 bits and more, of depth maps
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode not in ("L", "RGB", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("RGB") if format == "jpeg" and image.mode == "RGBA" else image


def _first_frame(source: Path, target: Path) -> None:
    """In a process of its own, whose limits leave room for PyAV."""
    if not video_frame.available():
        raise NotInstalled(
            "A view of a video needs the package av.",
            hint="pip install av, where the gateway runs.",
        )
    with source.open("rb") as file:
        demuxer = _DEMUXERS.get(sniff(file.read(SNIFFED_BYTES)) or "")
    if demuxer is None:
        raise InvalidInput(f"No view can be made of {source.name!r}: not a known sort of video.")
    program = [sys.executable, "-I", video_frame.__file__]
    command = [*program, str(source), str(target), demuxer, str(MAX_PIXELS)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=FRAME_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"No view of {source.name!r}: it took too long.") from error
    if done.returncode == video_frame.UNWRITTEN:
        raise unwritten(OSError(int(done.stdout), os.strerror(int(done.stdout))))
    if done.returncode:
        raise InvalidInput(f"No view can be made of {source.name!r}: no frame can be read.")
