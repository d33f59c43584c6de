"""Put a mask into an image's alpha channel, as ComfyUI's mask editor does. Runs in decoder.py."""

from pathlib import Path

from PIL import Image

from app.errors import InvalidInput
from app.files.images.safety import (
    MAX_DECODED,
    UNREADABLE,
    check_room,
    decoded_bytes,
    open_image,
    writing,
)


def apply_mask(original: Path, mask: Path, target: Path, allowed: int = MAX_DECODED) -> None:
    """Write a PNG to `target`: the original with the mask's alpha. LoadImage gives its MASK output
    from it.

    Raises InvalidInput if one is no image, or their sizes differ, NeedsMore where more than
    `allowed` bytes are needed, and StorageFull and StorageUnavailable.
    """
    try:
        with open_image(original, allowed) as picture, open_image(mask, allowed) as painted:
            _check_sizes(picture, painted)
            _check_room(picture, painted, allowed)
            alpha = _alpha_of(painted)
            painted.close()  # before the original is decoded: one of them at a time
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
    """The alpha channel is kept while either of the two is decoded, and made RGBA if it is not."""
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
    picture.putalpha(alpha)  # RGB and RGBA have four bytes a pixel: nothing is copied
    picture.info = {}
    return picture
