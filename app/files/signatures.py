"""Whether a file is acceptable for an input, by its first bytes, whatever its name. Pure."""

from dataclasses import dataclass

from app.files.kinds import Kind, kind_of
from app.files.magic import sniff

# Suffixes by type. Other types (archives, documents) do not determine the content.
_SUFFIXES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/gif": ".gif",
    "image/webp": ".webp",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/heif": ".heif",
    "image/tiff": ".tiff",
    "image/jxl": ".jxl",
    "image/bmp": ".bmp",
    "image/x-exr": ".exr",
    "image/vnd.radiance": ".hdr",
    "video/mp4": ".mp4",
    "video/quicktime": ".mov",
    "video/webm": ".webm",
    "video/x-matroska": ".mkv",
    "video/x-msvideo": ".avi",
    "video/ogg": ".ogv",
    "audio/flac": ".flac",
    "audio/ogg": ".ogg",
    "audio/mpeg": ".mp3",
    "audio/aac": ".aac",
    "audio/mp4": ".m4a",
    "audio/wav": ".wav",
    "audio/aiff": ".aiff",
    "model/gltf-binary": ".glb",
    "model/ply": ".ply",
    "model/fbx": ".fbx",
}
# Kinds that an input accepts: video files have audio tracks, animated images are images.
_ALSO = {
    "image": {Kind.IMAGE},
    "animated_image": {Kind.IMAGE},
    "audio": {Kind.AUDIO, Kind.VIDEO},
    "video": {Kind.VIDEO, Kind.IMAGE},
}


@dataclass(frozen=True, slots=True)
class Signature:
    """The detected type; `suffix` with its dot."""

    kind: Kind
    content_type: str
    suffix: str


def signature_of(head: bytes) -> Signature | None:
    """Return the type by the first bytes; None if it is unknown."""
    content_type = sniff(head) or _frames(head)
    if content_type not in _SUFFIXES:
        return None
    suffix = _SUFFIXES[content_type]
    return Signature(kind_of(suffix, content_type), content_type, suffix)


def _frames(head: bytes) -> str | None:
    """Detect audio by the sync word of a frame: 11 bits, reliable only where audio is expected."""
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        return "audio/aac" if head[1] & 0x06 == 0 else "audio/mpeg"
    return None


def fits(wanted: str, signature: Signature | None) -> bool:
    """Return whether an input with uploads of kind `wanted` accepts the file.

    Inputs of other kinds (meshes, any file) accept everything.
    """
    allowed = _ALSO.get(wanted)
    if allowed is None:
        return True
    return signature is not None and signature.kind in allowed
