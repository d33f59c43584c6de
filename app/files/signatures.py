"""What a file is by its first bytes, whatever its name says. Pure."""

from dataclasses import dataclass

from app.files.kinds import Kind

HEAD = 4096  # bytes that are enough


@dataclass(frozen=True, slots=True)
class Signature:
    """`suffix` with its dot."""

    kind: Kind
    content_type: str
    suffix: str


def _image(name: str, suffix: str | None = None) -> Signature:
    return Signature(Kind.IMAGE, f"image/{name}", suffix or f".{name}")


_MP4 = Signature(Kind.VIDEO, "video/mp4", ".mp4")
_WEBM = Signature(Kind.VIDEO, "video/webm", ".webm")
_MKV = Signature(Kind.VIDEO, "video/x-matroska", ".mkv")
_OGG = Signature(Kind.AUDIO, "audio/ogg", ".ogg")
_OGV = Signature(Kind.VIDEO, "video/ogg", ".ogv")
_MP3 = Signature(Kind.AUDIO, "audio/mpeg", ".mp3")

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", _image("png")),
    (b"\xff\xd8\xff", _image("jpeg", ".jpg")),
    (b"GIF87a", _image("gif")),
    (b"GIF89a", _image("gif")),
    (b"II*\x00", _image("tiff")),
    (b"MM\x00*", _image("tiff")),
    (b"\xff\x0a", _image("jxl")),
    (b"\x00\x00\x00\x0cJXL ", _image("jxl")),
    (b"fLaC", Signature(Kind.AUDIO, "audio/flac", ".flac")),
    (b"ID3", _MP3),
    (b"glTF", Signature(Kind.MODEL3D, "model/gltf-binary", ".glb")),
)
# The type of an ISO media file, by its major brand; what is not here is MP4.
_BRANDS = {
    b"avif": _image("avif"),
    b"avis": _image("avif"),
    b"heic": _image("heic"),
    b"heix": _image("heic"),
    b"mif1": _image("heif"),
    b"M4A ": Signature(Kind.AUDIO, "audio/mp4", ".m4a"),
    b"M4B ": Signature(Kind.AUDIO, "audio/mp4", ".m4b"),
    b"qt  ": Signature(Kind.VIDEO, "video/quicktime", ".mov"),
}
# The type of a RIFF or IFF file.
_CHUNKED = {
    b"WEBP": _image("webp"),
    b"WAVE": Signature(Kind.AUDIO, "audio/wav", ".wav"),
    b"AVI ": Signature(Kind.VIDEO, "video/x-msvideo", ".avi"),
    b"AIFF": Signature(Kind.AUDIO, "audio/aiff", ".aiff"),
    b"AIFC": Signature(Kind.AUDIO, "audio/aiff", ".aiff"),
}
# What else than its own kind an input may take: sound tracks, moving pictures.
_ALSO = {
    "image": {Kind.IMAGE},
    "animated_image": {Kind.IMAGE},
    "audio": {Kind.AUDIO, Kind.VIDEO},
    "video": {Kind.VIDEO, Kind.IMAGE},
}


def signature_of(head: bytes) -> Signature | None:
    """What the bytes are; None for what is not known here."""
    for beginning, signature in _BEGINNINGS:
        if head.startswith(beginning):
            return signature
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], _MP4)
    return _container(head)


def _container(head: bytes) -> Signature | None:
    if head[:4] in (b"RIFF", b"FORM"):
        return _CHUNKED.get(head[8:12])
    if head[:4] == b"OggS":
        return _OGV if b"\x80theora" in head[:64] else _OGG
    if head[:4] == b"\x1a\x45\xdf\xa3":
        return _WEBM if b"webm" in head[:64] else _MKV
    if head[:2] == b"BM" and head[6:10] == b"\0\0\0\0":
        return _image("bmp")
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0:
        aac = head[1] & 0x06 == 0
        return Signature(Kind.AUDIO, "audio/aac", ".aac") if aac else _MP3
    return None


def fits(wanted: str, signature: Signature | None) -> bool:
    """Whether an input that takes uploads of the kind `wanted` may have it. Kinds that are not
    known here (meshes, anything) may have what is not known here, too."""
    allowed = _ALSO.get(wanted)
    if allowed is None:
        return True
    return signature is not None and signature.kind in allowed
