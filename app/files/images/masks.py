"""Applies a mask to an image's alpha channel, like ComfyUI's mask editor. Runs in decoder.py."""

from pathlib import Path

from PIL import Image

from app.errors import InvalidInput
from app.files.images.jobs import MAX_DECODED
from app.files.images.safety import (
    UNREADABLE,
    check_room,
    decoded_bytes,
    open_image,
    writing,
)


def apply_mask(original: Path, mask: Path, target: Path, allowed: int = MAX_DECODED) -> None:
    """Write a PNG to `target`: the original with the mask's alpha channel, for LoadImage's MASK.

    Raises InvalidInput if a file is no image or the sizes differ, NeedsMore beyond `allowed` bytes,
    and StorageFull and StorageUnavailable.
    """
    try:
        with open_image(original, allowed) as picture, open_image(mask, allowed) as painted:
            _check_sizes(picture, painted)
            _check_room(picture, painted, allowed)
            alpha = _alpha_of(painted)
            painted.close()  # frees it before the original is decoded
            masked = _with_alpha(picture, alpha)
        with writing(target) as file:
            masked.save(file, "png", compress_level=4)
    except UNREADABLE as error:
        raise InvalidInput("The original or the mask is no image that can be read.") from error


def _check_sizes(picture: Image.Image, painted: Image.Image) -> None:
    if picture.size != painted.size:
        raise InvalidInput(
            f"The mask is {painted.width}x{painted.height}, the image "
            f"{picture.width}x{picture.height}: they must have one size.",
            field="image",
        )


def _check_room(picture: Image.Image, painted: Image.Image, allowed: int) -> None:
    """Check the memory: the alpha channel is held while each image is decoded and converted to
    RGBA."""
    pixels = picture.width * picture.height
    most = max(
        decoded_bytes(image) + (0 if image.mode in ("RGB", "RGBA") else 4 * pixels)
        for image in (picture, painted)
    )
    check_room(most + pixels, allowed)


def _alpha_of(painted: Image.Image) -> Image.Image:
    painted.load()
    if painted.mode in ("RGBA", "LA"):
        return painted.getchannel("A")
    if not painted.has_transparency_data:
        return Image.new("L", painted.size, 255)
    return painted.convert("RGBA").getchannel("A")


def _with_alpha(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    picture.load()
    if picture.mode not in ("RGB", "RGBA"):
        picture = picture.convert("RGBA")
    picture.putalpha(alpha)  # RGB and RGBA both have four bytes per pixel, so nothing is copied
    picture.info = {}
    return picture
