"""What the gateway asks decoder.py for, and how it fails.

Without Pillow, which takes 5 MB: only that process needs it.
"""

import errno
from dataclasses import dataclass, field
from typing import Literal

from app.errors import InvalidInput, StorageFull, StorageUnavailable

ViewFormat = Literal["webp", "jpeg", "png", "avif"]
Channel = Literal["rgb", "a"]
MAX_SIDE = 4096  # of the view
MAX_DECODED = 272 << 20  # bytes for decoding one image; sufficient for 8192x8192


@dataclass(frozen=True, slots=True)
class View:
    """A view: an image in a format, or (`format` None) the file without its metadata.

    `channel`: "rgb" without transparency, "a" black with the transparency of the image.
    """

    format: ViewFormat | None
    width: int | None = None
    height: int | None = None
    quality: int = 85
    # Not shown without a value: stored views are found by what is shown of theirs.
    channel: Channel | None = field(default=None, repr=False)

    @property
    def identity(self) -> str:
        """What differs between the views of a file."""
        return f"{self}|{self.channel}" if self.channel else f"{self}"


def unwritten(error: OSError) -> InvalidInput | StorageFull | StorageUnavailable:
    """Return the gateway's error for an OSError while writing."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StorageFull(
            "There is no room left to make the picture.", hint="Make room for temporary files."
        )
    if error.errno == errno.EFBIG:  # RLIMIT_FSIZE of the process
        return InvalidInput("What would be made of it is too large a file.")
    return StorageUnavailable(f"The picture cannot be written: {error.strerror}.")
