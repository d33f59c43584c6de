"""The kind and content type of a file. Pure."""

import mimetypes
import re

from app.files.signatures import TYPES, sniff
from app.files.signatures import Kind as Kind  # other modules have it from here

# Python's own table: that of the system, on Windows of the registry, may say anything.
_KNOWN = mimetypes.MimeTypes().types_map[True]
# Missing there, or with outdated types.
_TYPES = {
    **TYPES,
    ".apng": "image/apng",
    ".opus": "audio/ogg",
    ".aif": "audio/aiff",
    ".gltf": "model/gltf+json",
    ".obj": "model/obj",
    ".stl": "model/stl",
    ".latent": "application/octet-stream",
    ".safetensors": "application/octet-stream",
    ".json": "application/json",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".srt": "text/plain",
}
MODEL3D_SUFFIXES = frozenset(
    {".glb", ".gltf", ".obj", ".stl", ".ply", ".fbx", ".usdz", ".splat", ".spz", ".ksplat"}
)

# Containers for audio or video, and formats with several names: here the suffix is more specific.
_FAMILIES = (
    {"video/mp4", "video/quicktime", "video/x-m4v", "audio/mp4", "video/3gpp"},
    {"video/webm", "video/x-matroska", "audio/webm", "audio/x-matroska"},
    {"audio/ogg", "video/ogg", "application/ogg"},
    {"image/png", "image/apng"},
    {"image/heic", "image/heif", "image/avif"},
)
_TYPE = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")

# Types that browsers may display in our origin, as they run no scripts for any content.
_INLINE = {
    *(kind for kind in _TYPES.values() if kind != "application/octet-stream"),
    *("audio/x-wav", "audio/x-aiff", "audio/webm", "audio/x-matroska"),
    *("video/mpeg", "video/x-m4v", "video/3gpp"),
}
_JSON = re.compile(rb"\s*(\{\s*[\"}]|\[\s*[\[\]{\"\d])")
# First bytes of a page or image that may run scripts; texts may start with other markup.
_MARKUP = re.compile(
    rb"<(!doctype|html|head|body|script|style|iframe|object|embed|svg|math|!--|[?]xml"
    rb"|[a-z0-9]+:(html|svg|script)\b)",
    re.IGNORECASE,
)


def content_type_of(filename: str, said: str | None = None, head: bytes = b"") -> str:
    """Return the content type by the first bytes, else the suffix, else the server's header."""
    suffix = suffix_of(filename)
    named = _TYPES.get(suffix) or _KNOWN.get(suffix)
    proven = sniff(head)
    if proven and not _agree(named, proven):
        return proven
    told = (said or "").partition(";")[0].strip().lower()
    return named or (told if _TYPE.fullmatch(told) else None) or "application/octet-stream"


def kind_of(filename: str, content_type: str) -> Kind:
    """Return the kind by name and type; the node's key is unreliable (videos are in `images`)."""
    suffix = suffix_of(filename)
    main = content_type.partition("/")[0]
    if main in ("image", "video", "audio", "text"):
        return Kind(main)
    if suffix == ".latent":
        return Kind.LATENT
    return Kind.MODEL3D if suffix in MODEL3D_SUFFIXES or main == "model" else Kind.FILE


def is_no_media(filename: str, head: bytes) -> bool:
    """Return whether these first bytes cannot be of the image, video or audio file named.

    That is so if they are empty, or a text that something sent instead, such as a login page or
    JSON.
    """
    content_type = content_type_of(filename)
    if kind_of(filename, content_type) not in (Kind.IMAGE, Kind.VIDEO, Kind.AUDIO):
        return False
    return not head or (
        content_type != "image/svg+xml"
        and not sniff(head)
        and (is_markup(head) or _JSON.match(head) is not None)
    )


def is_inline(content_type: str, head: bytes = b"") -> bool:
    """Return whether a browser may display the file.

    Types that are not known to be harmless, and content that looks like markup, are attachments.
    """
    plain = content_type.partition(";")[0].strip().lower()
    return plain in _INLINE and not is_markup(head)


def is_markup(head: bytes) -> bool:
    """Return whether the first bytes are HTML, SVG or XML, in any encoding."""
    plain = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n\x0b\x0c")
    return _MARKUP.match(plain) is not None


def suffix_of(filename: str) -> str:
    """Return the suffix in lower case with its dot; "" without one."""
    dot = filename.rfind(".")
    return filename[dot:].lower() if dot >= 0 else ""


def _agree(named: str | None, proven: str) -> bool:
    """Return whether the type by name is at least as specific as the type by content."""
    if named == proven or any({named, proven} <= family for family in _FAMILIES):
        return True
    main = (named or "").partition("/")[0]
    # Many formats are ZIP files, and many camera formats are a kind of TIFF.
    return (proven, main) in (("application/zip", "application"), ("image/tiff", "image"))
