"""Rendering of one view from a file. Slow and exposed to malicious files: runs in decoder.py."""

import math
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image

from app.errors import InvalidInput, NotInstalled
from app.files.images import video_frame
from app.files.images.jobs import (
    MAX_DECODED,
    MAX_SIDE,
    Channel,
    View,
    ViewFormat,
    unwritten,
)
from app.files.images.metadata import (
    ENCODING,
    ORIENTATION,
    UPRIGHT,
    plain_profile,
    without_metadata,
)
from app.files.images.safety import (
    MAX_PIXELS,
    UNREADABLE,
    NeedsMore,
    check_room,
    decoded_bytes,
    open_image,
    writing,
)
from app.files.signatures import SNIFFED_BYTES, sniff

FRAME_SECONDS = 25.0  # timeout for a video
STRIP = 2_000_000  # pixels that are converted and scaled at a time
_GAP = 2  # JPEG is decoded at this multiple of the wanted size or more
_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
    "audio/ogg": "ogg",
    "video/ogg": "ogg",
}
DRAFTED = ("JPEG", "MPO")  # can be decoded at a fraction of the size, down to an eighth
_TURNED = range(5, 9)  # orientations that swap width and height

Size = tuple[int, int]


def make_view(
    source: Path, target: Path, view: View, content_type: str, allowed: int = MAX_DECODED
) -> None:
    """Write the view to `target`.

    Raises InvalidInput, NotInstalled, StorageFull, StorageUnavailable, and NeedsMore beyond
    `allowed` bytes; `target` may be incomplete then.
    """
    if view.format is None:
        without_metadata(source, target, allowed)
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
            if image.format not in DRAFTED:  # reading the EXIF of a PNG decodes it
                check_room(decoded_bytes(image), allowed)
            turn = image.getexif().get(ORIENTATION)
            profile = plain_profile(image.info.get("icc_profile"))
            small = _fitted(image, view, allowed, turned=turn in _TURNED)
            image.close()  # frees the pixels, unlike the end of the context
        if turn in UPRIGHT:
            small = small.transpose(UPRIGHT[turn])
        # All other metadata is dropped, such as the prompt and the place.
        about = {"icc_profile": profile} if profile else {}
        with writing(target) as file:
            small.save(file, view.format, quality=view.quality, **about)
    except UNREADABLE as error:
        raise InvalidInput(
            f"No view can be made of {name!r}: it is no image that can be read."
        ) from error


def _fitted(image: Image.Image, view: View, allowed: int, *, turned: bool) -> Image.Image:
    """Return the image scaled down to fit the view.

    Works in strips, as converting the whole image would double the memory.
    """
    room = (view.width or MAX_SIDE, view.height or MAX_SIDE)
    size = fitting(image.size, room[::-1] if turned else room)
    coded, box = image.size, (float(image.width), float(image.height))
    # JPEG only: decode at a smaller size
    drafted = image.draft(None, (size[0] * _GAP, size[1] * _GAP))
    if drafted is not None:
        box = drafted[1][2:]
    check_room(decoded_bytes(image, coded[0] * coded[1]), allowed)
    if allowed < MAX_DECODED and size[0] * size[1] * ENCODING > allowed:
        raise NeedsMore
    image.load()
    result: Image.Image | None = None
    for top, strip, part in _strips(image, box, size):
        plain = _channel_of(_in_mode_for(strip, view.format), view.channel)
        done = plain.resize((size[0], part[1]), Image.Resampling.BICUBIC, part[0], _GAP)
        if result is None:
            result = Image.new(done.mode, size)
        result.paste(done, (0, top))
    assert result is not None
    return result


def _strips(
    image: Image.Image, box: tuple[float, float], size: Size
) -> Iterator[tuple[int, Image.Image, tuple[tuple[float, float, float, float], int]]]:
    """Yield strips of the image for the rows of an image of `size`.

    Each item is the first row, the strip with a margin for the filter, the source box in it, and
    the number of rows.
    """
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
    """Return the size scaled down to fit into `room`, with the same aspect ratio."""
    scale = min(room[0] / size[0], room[1] / size[1], 1.0)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _in_mode_for(image: Image.Image, format: ViewFormat | None) -> Image.Image:
    """Convert the image to a mode that the format supports."""
    if image.mode.startswith(("I", "F")):  # 16 bits or more, e.g. depth maps
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode not in ("L", "RGB", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("RGB") if format == "jpeg" and image.mode == "RGBA" else image


def _channel_of(image: Image.Image, channel: Channel | None) -> Image.Image:
    """Return the colors of an image, or black with its transparency, as ComfyUI's /view does."""
    if channel is None:
        return image
    if channel == "rgb":
        return image.convert("RGB")
    alpha = image.getchannel("A") if image.mode == "RGBA" else Image.new("L", image.size, 255)
    found = Image.new("RGBA", image.size)
    found.putalpha(alpha)
    return found


def _first_frame(source: Path, target: Path) -> None:
    """Extract the first frame in a separate process, whose limits leave room for PyAV."""
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
