"""File formats by their first bytes, and which of them an input accepts. Pure.

The formats of ComfyUI's nodes are a short list; the libraries for this are either unmaintained
since 2022 (filetype) or return many guesses (puremagic).
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    FILE = "file"
    LATENT = "latent"
    MODEL3D = "model3d"


@dataclass(frozen=True, slots=True)
class Signature:
    """A format; `suffix` with its dot, "" where the format does not determine the content."""

    kind: Kind
    content_type: str
    suffix: str


SNIFFED_BYTES = 512  # sufficient for all formats

# The first row that matches counts. "." is any byte.
_FORMATS = (
    (rb"\x89PNG\r\n\x1a\n", Kind.IMAGE, "image/png", ".png"),
    (rb"\xff\xd8\xff", Kind.IMAGE, "image/jpeg", ".jpg"),
    (rb"GIF8[79]a", Kind.IMAGE, "image/gif", ".gif"),
    (rb"II\*\0|MM\0\*", Kind.IMAGE, "image/tiff", ".tiff"),
    (rb"\xff\x0a|\0\0\0\x0cJXL ", Kind.IMAGE, "image/jxl", ".jxl"),
    (rb"\x76\x2f\x31\x01", Kind.IMAGE, "image/x-exr", ".exr"),
    (rb"#\?RADIANCE", Kind.IMAGE, "image/vnd.radiance", ".hdr"),
    (rb"fLaC", Kind.AUDIO, "audio/flac", ".flac"),
    (rb"ID3", Kind.AUDIO, "audio/mpeg", ".mp3"),
    (rb"glTF", Kind.MODEL3D, "model/gltf-binary", ".glb"),
    (rb"ply\r?\n", Kind.MODEL3D, "model/ply", ".ply"),
    (rb"Kaydara FBX Binary", Kind.MODEL3D, "model/fbx", ".fbx"),
    (rb"%PDF-", Kind.FILE, "application/pdf", ""),
    (rb"PK\x03\x04", Kind.FILE, "application/zip", ""),
    # RIFF and IFF
    (rb"(RIFF|FORM).{4}WEBP", Kind.IMAGE, "image/webp", ".webp"),
    (rb"(RIFF|FORM).{4}WAVE", Kind.AUDIO, "audio/wav", ".wav"),
    (rb"(RIFF|FORM).{4}AVI ", Kind.VIDEO, "video/x-msvideo", ".avi"),
    (rb"(RIFF|FORM).{4}AIF[FC]", Kind.AUDIO, "audio/aiff", ".aiff"),
    # ISO media files by major brand; MP4 for all others
    (rb".{4}ftypavi[fs]", Kind.IMAGE, "image/avif", ".avif"),
    (rb".{4}ftyphei[cx]", Kind.IMAGE, "image/heic", ".heic"),
    (rb".{4}ftypmif1", Kind.IMAGE, "image/heif", ".heif"),
    (rb".{4}ftypM4[AB] ", Kind.AUDIO, "audio/mp4", ".m4a"),
    (rb".{4}ftypqt  ", Kind.VIDEO, "video/quicktime", ".mov"),
    (rb".{4}ftyp", Kind.VIDEO, "video/mp4", ".mp4"),
    # Ogg and Matroska, by what their first 64 bytes name
    (rb"OggS.{0,53}\x80theora", Kind.VIDEO, "video/ogg", ".ogv"),
    (rb"OggS", Kind.AUDIO, "audio/ogg", ".ogg"),
    (rb"\x1a\x45\xdf\xa3.{0,56}webm", Kind.VIDEO, "video/webm", ".webm"),
    (rb"\x1a\x45\xdf\xa3", Kind.VIDEO, "video/x-matroska", ".mkv"),
    (rb"BM.{4}\0{4}", Kind.IMAGE, "image/bmp", ".bmp"),
)
# The sync word of an audio frame: 11 bits, reliable only where audio is expected.
_FRAMES = (
    (rb"\xff[\xe0\xe1\xe8\xe9\xf0\xf1\xf8\xf9]", Kind.AUDIO, "audio/aac", ".aac"),
    (rb"\xff[\xe0-\xff]", Kind.AUDIO, "audio/mpeg", ".mp3"),
)
_KNOWN, _GUESSED = (
    [(re.compile(magic, re.DOTALL), Signature(kind, *names)) for magic, kind, *names in rows]
    for rows in (_FORMATS, _FRAMES)
)
# Content types by suffix
TYPES = {one.suffix: one.content_type for _, one in (*_KNOWN, *_GUESSED) if one.suffix}
# Kinds that an input accepts: video files have audio tracks, animated images are images.
_ALSO = {
    "image": {Kind.IMAGE},
    "animated_image": {Kind.IMAGE},
    "audio": {Kind.AUDIO, Kind.VIDEO},
    "video": {Kind.VIDEO, Kind.IMAGE},
}


def sniff(head: bytes) -> str | None:
    """Return the content type that the first bytes prove, or None."""
    return next((one.content_type for magic, one in _KNOWN if magic.match(head)), None)


def signature_of(head: bytes) -> Signature | None:
    """Return the format by the first bytes; None if it is unknown."""
    found = next((one for magic, one in (*_KNOWN, *_GUESSED) if magic.match(head)), None)
    return found if found is not None and found.suffix else None


def fits(wanted: str, signature: Signature | None) -> bool:
    """Return whether an input with uploads of kind `wanted` accepts the file.

    Inputs of other kinds (meshes, any file) accept everything.
    """
    allowed = _ALSO.get(wanted)
    if allowed is None:
        return True
    return signature is not None and signature.kind in allowed
