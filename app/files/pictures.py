"""One view made from one file on disk. Slow: runs in threads."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image, ImageOps

from app.errors import InvalidInput, NotInstalled
from app.files import frames
from app.files.images import MAX_PIXELS, UNREADABLE, open_image
from app.files.magic import HEAD, sniff
from app.files.metadata import without_metadata

ViewFormat = Literal["webp", "jpeg", "png", "avif"]
MAX_SIDE = 4096  # of the view
FRAME_SECONDS = 30.0  # after which a video is given up
_DEMUXERS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/webm": "matroska",
    "video/x-matroska": "matroska",
    "video/x-msvideo": "avi",
    "audio/ogg": "ogg",
    "video/ogg": "ogg",
}
_ORIENTATION = 0x0112
_TURNED = range(5, 9)  # orientations that swap width and height


@dataclass(frozen=True, slots=True)
class View:
    """What is wanted: a picture in a format, or (`format` None) the file without its metadata."""

    format: ViewFormat | None
    width: int | None = None
    height: int | None = None
    quality: int = 85


def make_view(source: Path, target: Path, view: View, content_type: str) -> None:
    """Write the view to `target`. Raises InvalidInput and NotInstalled; `target` may be half
    written then."""
    if view.format is None:
        without_metadata(source, target)
    elif content_type.startswith("video/"):
        frame = target.with_suffix(".frame.png")
        _first_frame(source, frame)
        _scaled(frame, target, view, source.name)
        frame.unlink()
    else:
        _scaled(source, target, view, source.name)


def _scaled(source: Path, target: Path, view: View, name: str) -> None:
    try:
        with open_image(source) as image:
            size = (view.width or MAX_SIDE, view.height or MAX_SIDE)
            if image.getexif().get(_ORIENTATION) in _TURNED:
                size = size[::-1]
            image.thumbnail(size)  # before anything else: JPEG is then decoded smaller
            upright = ImageOps.exif_transpose(image)
            plain = _in_mode_for(upright, view.format)
            kept = ("icc_profile", "transparency")  # not the prompt, nor where it was taken
            plain.info = {key: plain.info[key] for key in kept if key in plain.info}
            plain.save(target, view.format, quality=view.quality)
    except UNREADABLE as error:
        raise InvalidInput(
            f"No view can be made of {name!r}: it is no image that can be read."
        ) from error


def _in_mode_for(image: Image.Image, format: ViewFormat | None) -> Image.Image:
    """The image in a mode that the format can hold."""
    if image.mode.startswith(("I", "F")):  # 16 bits and more, of depth maps
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode not in ("L", "RGB", "RGBA"):
        image = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image.convert("RGB") if format == "jpeg" and image.mode == "RGBA" else image


def _first_frame(source: Path, target: Path) -> None:
    """In a process of its own: a video made to harm brings down that, and not the gateway."""
    if not frames.available():
        raise NotInstalled(
            "A view of a video needs the package av.",
            hint="pip install av, where the gateway runs.",
        )
    with source.open("rb") as file:
        demuxer = _DEMUXERS.get(sniff(file.read(HEAD)) or "")
    if demuxer is None:
        raise InvalidInput(f"No view can be made of {source.name!r}: not a known sort of video.")
    program = [sys.executable, "-I", frames.__file__]
    command = [*program, str(source), str(target), demuxer, str(MAX_PIXELS)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=FRAME_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise InvalidInput(f"No view of {source.name!r}: it took too long.") from error
    if done.returncode:
        raise InvalidInput(f"No view can be made of {source.name!r}: no frame can be read.")
