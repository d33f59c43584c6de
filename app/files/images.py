"""Images that strangers sent: what Pillow raises for bad ones, and how large is too large."""

from PIL import Image, UnidentifiedImageError

from app.errors import InvalidInput

MAX_PIXELS = 100_000_000  # beyond it an image is refused before it is decoded
UNREADABLE = (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError)


def refuse_huge(*images: Image.Image) -> None:
    """Raises InvalidInput for an image of too many pixels. Opening one has not decoded it yet."""
    if any(image.width * image.height > MAX_PIXELS for image in images):
        raise InvalidInput(f"The image has more than {MAX_PIXELS} pixels.")
