"""Put a mask into an image's alpha channel, as ComfyUI's mask editor does."""

import io
from pathlib import Path

from PIL import Image

from app.errors import InvalidInput
from app.files.images import FORMATS, UNREADABLE, open_image, refuse_huge


def apply_mask(original: Path, mask: bytes) -> bytes:
    """A PNG: the original with the mask's alpha. LoadImage gives its MASK output from it.

    Raises InvalidInput if one is no image, or their sizes differ.
    """
    try:
        with (
            open_image(original) as picture,
            Image.open(io.BytesIO(mask), formats=FORMATS) as painted,
        ):
            refuse_huge(painted)
            if picture.size != painted.size:
                raise InvalidInput(
                    f"The mask is {painted.width}x{painted.height}, the image "
                    f"{picture.width}x{picture.height}: they must have one size.",
                    field="image",
                )
            masked = picture.convert("RGBA")
            masked.putalpha(painted.convert("RGBA").getchannel("A"))
    except (*UNREADABLE, Image.DecompressionBombError) as error:
        raise InvalidInput("The original or the mask is no image that can be read.") from error
    content = io.BytesIO()
    masked.save(content, "png", compress_level=4)
    return content.getvalue()
