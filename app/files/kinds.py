"""The kind and content type of a file. Pure."""

import mimetypes
from enum import StrEnum

# Not in every system's table, or named there in old ways.
_TYPES = {
    ".webp": "image/webp",
    ".avif": "image/avif",
    ".flac": "audio/flac",
    ".opus": "audio/ogg",
    ".wav": "audio/wav",
    ".m4a": "audio/mp4",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
    ".mp4": "video/mp4",
    ".glb": "model/gltf-binary",
    ".gltf": "model/gltf+json",
    ".obj": "model/obj",
    ".stl": "model/stl",
    ".ply": "model/ply",
    ".latent": "application/octet-stream",
    ".safetensors": "application/octet-stream",
    ".json": "application/json",
    ".txt": "text/plain",
}
_MODEL3D = {".glb", ".gltf", ".obj", ".stl", ".ply", ".fbx", ".usdz", ".splat", ".spz", ".ksplat"}

# What a browser may show from our origin without running anything in it.
INLINE_TYPES = ("image/", "video/", "audio/", "text/plain", "application/json", "model/")
NEVER_INLINE = ("image/svg",)


class Kind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    TEXT = "text"
    FILE = "file"
    LATENT = "latent"
    MODEL3D = "model3d"


def content_type_of(filename: str, said: str | None = None) -> str:
    """From the extension, else what the server said, else octet-stream."""
    suffix = _suffix(filename)
    guess = _TYPES.get(suffix) or mimetypes.types_map.get(suffix)
    return guess or (said or "").partition(";")[0].strip() or "application/octet-stream"


def kind_of(filename: str, content_type: str) -> Kind:
    """Not from the key that a node used: ComfyUI's videos stand under `images`."""
    suffix = _suffix(filename)
    if suffix == ".latent":
        return Kind.LATENT
    if suffix in _MODEL3D or content_type.startswith("model/"):
        return Kind.MODEL3D
    main = content_type.partition("/")[0]
    return Kind(main) if main in ("image", "video", "audio", "text") else Kind.FILE


def is_inline(content_type: str) -> bool:
    """False for types that could run script: they are served as attachments."""
    return content_type.startswith(INLINE_TYPES) and not content_type.startswith(NEVER_INLINE)


def _suffix(filename: str) -> str:
    dot = filename.rfind(".")
    return filename[dot:].lower() if dot >= 0 else ""
