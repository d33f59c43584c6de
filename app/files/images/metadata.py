"""What an image carries besides its pixels: what is needed to show it, and nothing else.

An image without metadata is decoded and encoded anew, so that it has only what is written here.
"""

import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from app.errors import GatewayError, InvalidInput
from app.files.images.jobs import MAX_DECODED
from app.files.images.safety import (
    UNREADABLE,
    NeedsMore,
    check_room,
    decoded_bytes,
    open_image,
    writing,
)

WEBP_ANIMATED, WEBP_ALPHA = 0x02, 0x10  # flags of the chunk VP8X
QUALITY = 95  # of JPEG and lossy WebP
ENCODING = 16  # bytes needed to encode a pixel
ORIENTATION = 0x0112
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Encoder by format, and its options. Metadata that an encoder would take over from the original is
# named, too.
_ENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "PNG": ("PNG", {"compress_level": 2}),
    "JPEG": ("JPEG", {"quality": QUALITY, "subsampling": 0, "comment": b""}),
    "MPO": ("JPEG", {"quality": QUALITY, "subsampling": 0, "comment": b""}),
    "WEBP": ("WEBP", {"quality": QUALITY, "exact": True}),
    "GIF": ("GIF", {"comment": b""}),
}
_LOSSLESS = {"lossless": True, "exact": True, "quality": 50, "method": 2}  # effort, in time
MAX_LOSSLESS = 8_000_000  # pixels of a WebP; larger ones would take too much memory
_NO_MEMORY = re.compile(r"encoding ?error:? [12]\b", re.IGNORECASE)  # as libwebp says it
_BITSTREAM = re.compile(rb"VP8[ L]")  # of a WebP; the latter is lossless
# Types of the tags of a color profile that hold no text.
_COLOR_TYPES = frozenset(
    b"XYZ |curv|para|sf32|uf32|mft1|mft2|mAB |mBA |mpet|chrm|meas|view|sig |cicp".split(b"|")
)
_PROFILE_HEAD = 132  # bytes, with the number of tags


def without_metadata(source: Path, target: Path, allowed: int = MAX_DECODED) -> None:
    """Write the image to `target` without metadata, upright, with its color profile.

    The pixels of a PNG and of a lossless WebP that is not huge stay as they are. Raises
    InvalidInput for a file that is no readable PNG, JPEG, WebP or GIF, StorageFull,
    StorageUnavailable, and NeedsMore beyond `allowed` bytes.
    """
    try:
        with open_image(source, allowed) as image:
            if image.format not in _ENCODERS:
                raise _cannot(source.name)
            check_room(decoded_bytes(image), allowed)
            pixels = image.width * image.height
            if allowed < MAX_DECODED and (_is_animated(image) or pixels * ENCODING > allowed):
                raise NeedsMore
            format, options = _ENCODERS[image.format]
            if format == "WEBP" and pixels <= MAX_LOSSLESS and _is_lossless(source):
                options = _LOSSLESS
            with writing(target) as file:
                _encode(image, file, format, {**options, **_appearance(image)})
            if format == "WEBP" and "A" in image.getbands():
                _show_alpha(target)
    except GatewayError:
        raise
    except UNREADABLE as error:
        if _NO_MEMORY.search(str(error)):
            raise MemoryError from error
        raise _cannot(source.name) from error


def _encode(image: Image.Image, file: IO[bytes], format: str, options: dict[str, Any]) -> None:
    image.load()  # before metadata is read, whose faults are passed over
    turn = UPRIGHT.get(_orientation(image))
    if _is_animated(image):
        options |= _animation(image, format)
        first = image.copy() if options.get("default_image") else image
        first.save(file, format, save_all=True, **options)
    elif turn is None:
        image.save(file, format, **options)
    else:
        image.transpose(turn).save(file, format, **options)


def _is_animated(image: Image.Image) -> bool:
    return image.format != "MPO" and getattr(image, "is_animated", False)


def _animation(image: Image.Image, format: str) -> dict[str, Any]:
    """Return the options that keep frames, durations and repetitions.

    Frames are read as they look, not as differences, so each replaces the one before.
    """
    if format == "PNG":
        kept = {"default_image": True, "append_images": _Frames(image)}
        return {"disposal": 0, "blend": 0, **(kept if image.info.get("default_image") else {})}
    if format == "GIF":
        return {"disposal": 2}
    durations = []
    for number in range(getattr(image, "n_frames", 1)):
        image.seek(number)
        image.load()
        durations.append(image.info["duration"])
    image.seek(0)
    return {"duration": durations, "loop": image.info["loop"]}


class _Frames:
    """The frames of an APNG after its default image, which is none of them."""

    def __init__(self, image: Image.Image) -> None:
        self._image = image

    def __iter__(self) -> Iterator[Image.Image]:
        for number in range(1, getattr(self._image, "n_frames", 1)):
            self._image.seek(number)
            yield self._image.copy()


def _show_alpha(target: Path) -> None:
    """Set the flag by which an animated WebP is shown with its alpha: libwebp may leave it out."""
    with target.open("r+b") as file:
        head = file.read(21)
        if head[12:16] == b"VP8X" and head[20] & WEBP_ANIMATED:
            file.seek(20)
            file.write(bytes([head[20] | WEBP_ALPHA]))


def _appearance(image: Image.Image) -> dict[str, Any]:
    """Return the options for the colors to look the same."""
    options: dict[str, Any] = {"icc_profile": plain_profile(image.info.get("icc_profile"))}
    if image.format != "PNG":
        return options
    chunks = PngInfo()
    if (gamma := image.info.get("gamma")) is not None:
        chunks.add(b"gAMA", struct.pack(">I", round(gamma * 100_000)))
    if (colors := image.info.get("chromaticity")) is not None:
        chunks.add(b"cHRM", struct.pack(">8I", *(round(color * 100_000) for color in colors)))
    if (intent := image.info.get("srgb")) is not None:
        chunks.add(b"sRGB", bytes([intent]))
    return {**options, "pnginfo": chunks}


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation; 1, upright, if none can be read."""
    try:
        found = image.getexif().get(ORIENTATION)
    except MemoryError:
        raise
    except UNREADABLE:
        return 1
    return found if isinstance(found, int) else 1


def plain_profile(profile: bytes | None) -> bytes | None:
    """Return a color profile without its texts; None for something else in its place.

    Everything that is not about colors is zeroed, so that the offsets stay valid.
    """
    if profile is None or profile[36:40] != b"acsp" or len(profile) < _PROFILE_HEAD:
        return None
    count = struct.unpack_from(">I", profile, _PROFILE_HEAD - 4)[0]
    tags = _PROFILE_HEAD + 12 * count
    if tags > len(profile):
        return None
    plain = bytearray(len(profile))
    plain[:tags] = profile[:tags]
    plain[84:100] = bytes(16)  # the checksum
    for at in range(_PROFILE_HEAD, tags, 12):
        start, size = struct.unpack_from(">II", profile, at + 4)
        kept = size if profile[start : start + 4] in _COLOR_TYPES else 4
        plain[start : start + kept] = profile[start : start + kept]
    return bytes(plain[: len(profile)])


def _is_lossless(source: Path) -> bool:
    found = _BITSTREAM.search(source.read_bytes())
    return found is not None and found[0] == b"VP8L"


def _cannot(name: str) -> InvalidInput:
    return InvalidInput(
        f"The metadata of {name!r} cannot be taken out: it is no PNG, JPEG, WebP or GIF that can "
        "be read.",
        hint="Views with format= hold no metadata, whatever they are made from.",
    )
