"""Workflows embedded in images by ComfyUI. Pure: bytes in, JSON out.

PNG: text chunks `prompt` (API format) and `workflow` (UI format); an animated PNG has them in
`comf` chunks, which are ComfyUI's own. WebP and JPEG: EXIF texts "prompt:{...}" in the tag Model
(0x0110) and "workflow:{...}" in Make (0x010F) or a lower tag. Only the containers are read: no
pixels are decoded, no text is decompressed beyond MAX_TEXT, and only the first MAX_PARTS parts are
examined.
"""

import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from app.errors import InvalidInput, InvalidJson, PayloadTooLarge, WorkflowFormatUnsupported
from app.workflows.formats import is_ui, unwrap, with_page
from app.workflows.json_text import parse_leniently

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8\xff"
MAX_TEXT = 8 << 20  # maximum bytes of one decompressed text
MAX_PARTS = 100_000  # maximum chunks or segments that are examined
MAX_KEY = 79  # maximum bytes of a keyword, as in the PNG specification
WANTED = ("prompt", "workflow")  # in order of preference

Text = tuple[str, bytes]


def is_image(data: bytes) -> bool:
    """Return whether the data is of an image format that can contain a workflow."""
    return data.startswith((PNG, JPEG)) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")


def extract(data: bytes) -> Any:
    """Return the JSON of the workflow in an image, preferably in API format.

    If the image has both formats, they are returned as in the body of ComfyUI's POST /prompt.
    Raises WorkflowFormatUnsupported if there is none.
    """
    found = _found(data)
    workflow = _workflow_in(found)
    with suppress(InvalidJson, InvalidInput, PayloadTooLarge):
        page = parse_leniently(found.get("workflow", b"null"))
        if is_ui(page) and page != workflow:
            return with_page(workflow, page)
    return workflow


def _found(data: bytes) -> dict[str, bytes]:
    """Return the texts in an image by their keys."""
    found: dict[str, bytes] = {}
    with suppress(struct.error):  # truncated file: keep what was found
        for key, text in _texts(data):
            found.setdefault(key, text)
    return found


def _workflow_in(found: dict[str, bytes]) -> Any:
    for key in WANTED:
        with suppress(InvalidJson, WorkflowFormatUnsupported):
            value = parse_leniently(found[key]) if key in found else None
            unwrap(value)
            return value
    seen = ", ".join(repr(key[:30]) for key in list(found)[:5])
    raise WorkflowFormatUnsupported(
        "There is no workflow in this picture"
        + (f"; it only has the texts {seen}." if seen else "; it has no texts at all."),
        hint="Take the file that ComfyUI saved: editors, chats and many web sites remove the "
        "workflow. ComfyUI started with --disable-metadata does not write it.",
    )


def _texts(data: bytes) -> Iterator[Text]:
    if data.startswith(PNG):
        return _png_texts(data)
    return _exif_texts(_webp_exif(data) if data.startswith(b"RIFF") else _jpeg_exif(data))


def _png_texts(data: bytes) -> Iterator[Text]:
    """Yield the texts of a PNG, including those after the image data."""
    position, seen = len(PNG), set()
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, position)
        if kind in (b"tEXt", b"zTXt", b"iTXt", b"comf"):
            key = data[position + 8 : position + 8 + min(length, MAX_KEY + 1)].partition(b"\0")[0]
            rest = data[position + 9 + len(key) : position + 8 + length]
            name = key.decode("latin-1").lower()
            if name not in seen:  # a repeated key is not decompressed
                seen.add(name)
                yield name, _png_text(kind, rest) if name in WANTED else b""
        position += length + 12


def _png_text(kind: bytes, rest: bytes) -> bytes:
    """Return the text that follows the keyword."""
    if kind == b"zTXt":
        return _unpacked(rest[1:])  # after the compression method, which is always zlib
    if kind == b"iTXt":
        # Language and translated keyword precede the text
        packed, texts = rest[:1] == b"\1", rest[2:].split(b"\0", 2)
        return _unpacked(texts[-1]) if packed else texts[-1]
    return rest


def _unpacked(data: bytes) -> bytes:
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(data, MAX_TEXT)
    except zlib.error:
        return b""
    if unpacking.unconsumed_tail:
        raise WorkflowFormatUnsupported(f"A text in this picture is larger than {MAX_TEXT} bytes.")
    return text


def _webp_exif(data: bytes) -> bytes:
    position = 12
    for _ in range(MAX_PARTS):
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            return data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2
    return b""


def _jpeg_exif(data: bytes) -> bytes:
    position = 2
    for _ in range(MAX_PARTS):
        if data[position : position + 1] != b"\xff":
            break
        marker, length = struct.unpack_from(">HH", data, position)
        if marker == 0xFFDA:  # start of the image data
            break
        if marker == 0xFFE1 and data.startswith(b"Exif\0\0", position + 4):
            return data[position + 4 : position + 2 + length]
        position += 2 + length
    return b""


def _exif_texts(exif: bytes) -> Iterator[Text]:
    """Yield (key, text) for the texts "key:value" of the first directory. Raises struct.error."""
    tiff = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return
    (start,) = struct.unpack_from(order + "I", tiff, 4)
    (count,) = struct.unpack_from(order + "H", tiff, start)
    left = len(tiff)  # a larger total means that texts overlap: an attack
    for entry in range(start + 2, start + 2 + 12 * count, 12):
        _tag, kind, length, offset = struct.unpack_from(order + "HHII", tiff, entry)
        # ASCII; up to four bytes are stored in the entry itself
        if kind == 2 and 4 < length <= left:
            left -= length
            key, colon, text = tiff[offset : offset + length].rstrip(b"\0").partition(b":")
            if colon:
                yield key.decode("latin-1").lower(), text
