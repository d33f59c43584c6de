"""Validation and comparison of workflow file names. Pure."""

import unicodedata

from app.errors import InvalidInput
from app.files.stores.disk_names import is_device

SUFFIX = ".json"
IMAGE_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg")
MAX_BYTES = 200  # of a name in UTF-8; file systems allow 255
_MARKS = " _-.()"


def checked_name(filename: str) -> str:
    """Return the name as stored: in NFC, ending in ".json". Raises InvalidInput."""
    name = unicodedata.normalize("NFC", filename)
    if name.lower().endswith(SUFFIX):
        name = name[: -len(SUFFIX)]
    name += SUFFIX
    if len(name.encode(errors="replace")) > MAX_BYTES:
        raise _refused(filename, f"It is longer than {MAX_BYTES} bytes.")
    if is_device(name):
        raise _refused(filename, "Windows keeps this name for a device.")
    # A plain name in any script: no folders, no leading dot, no special characters of shells and
    # URLs.
    if not name[0].isalnum() or not all(map(_allowed, name)) or ".." in name:
        raise _refused(
            filename,
            "Use letters, digits, spaces and - _ . ( ), without folders: my-workflow.json.",
        )
    return name


def name_for_image(filename: str) -> str:
    """Return the name for a workflow from an image: picture.png -> picture.json."""
    for suffix in IMAGE_SUFFIXES:
        if filename.lower().endswith(suffix):
            return f"{filename[: -len(suffix)]}{SUFFIX}"
    return filename


def _allowed(character: str) -> bool:
    """Return whether a character is a letter, mark, digit or one of a few signs."""
    return character in _MARKS or unicodedata.category(character)[0] in "LMN"


def _refused(filename: str, hint: str) -> InvalidInput:
    shown = filename[:80].encode(errors="replace").decode()
    return InvalidInput(f"{shown!r} cannot be the name of a workflow.", hint=hint, field="filename")
