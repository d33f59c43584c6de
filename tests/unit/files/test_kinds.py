"""What a file is, by its bytes, its name and what the server said; and what may be shown inline."""

import io

import pytest
from PIL import Image

from app.files.kinds import Kind, content_type_of, is_inline, kind_of
from app.files.signatures import SNIFFED_BYTES


def picture(form: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, form)
    return content.getvalue()[:SNIFFED_BYTES]


WEBP = picture("webp")


MP4 = b"\0\0\0\x20ftypisom" + b"\0" * 40
MKV = b"\x1a\x45\xdf\xa3" + b"\0" * 20
WEBM = MKV + b"webm"
OGG = b"OggS" + b"\0" * 40
FLAC = b"fLaC" + b"\0" * 40
LATENT = b"\x20\0\0\0\0\0\0\0{}"


@pytest.mark.parametrize(
    ("name", "said", "head", "content_type", "kind"),
    [
        # As core nodes and the common packs write them, whatever the key in `outputs` is.
        ("fox_00001_.png", "image/png", picture("png"), "image/png", Kind.IMAGE),
        ("ComfyUI_00001_.webp", None, WEBP, "image/webp", Kind.IMAGE),  # under `images`, animated
        ("ComfyUI_00001_.apng", None, picture("png"), "image/apng", Kind.IMAGE),
        ("a.avif", None, picture("avif"), "image/avif", Kind.IMAGE),
        ("video_00001_.mp4", None, MP4, "video/mp4", Kind.VIDEO),  # under `images`
        ("AnimateDiff_00001.mp4", "video/mp4", MP4, "video/mp4", Kind.VIDEO),  # under `gifs`
        ("a.gif", None, picture("gif"), "image/gif", Kind.IMAGE),  # under `gifs`
        ("a.webm", None, WEBM, "video/webm", Kind.VIDEO),
        ("a.mov", None, b"\0\0\0\x14ftypqt  ", "video/quicktime", Kind.VIDEO),
        ("audio_00001_.flac", None, FLAC, "audio/flac", Kind.AUDIO),
        ("audio_00001_.mp3", None, b"\xff\xfb\x90", "audio/mpeg", Kind.AUDIO),
        ("audio_00001_.opus", None, OGG, "audio/ogg", Kind.AUDIO),
        ("a.m4a", None, MP4, "audio/mp4", Kind.AUDIO),
        ("mesh_00001_.glb", None, b"glTF\2\0\0\0", "model/gltf-binary", Kind.MODEL3D),
        ("mesh.usdz", None, b"PK\3\4", "application/zip", Kind.MODEL3D),
        ("cloud.splat", None, b"\0" * 32, "application/octet-stream", Kind.MODEL3D),
        ("a_00001_.latent", None, LATENT, "application/octet-stream", Kind.LATENT),
        ("lora.safetensors", None, LATENT, "application/octet-stream", Kind.FILE),
        ("caption.txt", None, b"a fox", "text/plain", Kind.TEXT),
        ("a.svg", None, b"<svg/>", "image/svg+xml", Kind.IMAGE),
        # The name says nothing, or the wrong thing.
        ("result", None, picture("png"), "image/png", Kind.IMAGE),
        ("result.bin", "application/x-thing", MP4, "video/mp4", Kind.VIDEO),
        ("a.png", "image/png", WEBP, "image/webp", Kind.IMAGE),
        ("a.png", "image/png", MP4, "video/mp4", Kind.VIDEO),
        ("a.txt", None, picture("jpeg"), "image/jpeg", Kind.IMAGE),
        ("unknown.xyz1", "Audio/Special; x=1", b"\1\2", "audio/special", Kind.AUDIO),
        ("unknown.xyz1", "rubbish\n", b"\1\2", "application/octet-stream", Kind.FILE),
        ("a.docx", "application/docx", b"PK\3\4", None, Kind.FILE),
    ],
)
def test_kinds(
    name: str, said: str | None, head: bytes, content_type: str | None, kind: Kind
) -> None:
    found = content_type_of(name, said, head)
    assert kind_of(name, found) is kind
    assert content_type in (None, found)


@pytest.mark.parametrize(
    ("content_type", "inline"),
    [
        ("image/png", True),
        ("video/mp4", True),
        ("audio/flac", True),
        ("text/plain", True),
        ("model/gltf-binary", True),
        ("image/svg+xml", False),
        ("model/x3d+xml", False),
        ("text/html", False),
        ("text/xml", False),
        ("application/xhtml+xml", False),
        ("application/pdf", False),
        ("text/javascript", False),
        ("application/octet-stream", False),
    ],
)
def test_what_is_shown_on_our_origin(content_type: str, inline: bool) -> None:
    assert is_inline(content_type) is inline


def test_a_type_in_capitals_is_the_same_type() -> None:
    assert not is_inline(content_type_of("x.unknown", "Image/SVG+XML"))


def test_text_of_utf_16_is_no_sound() -> None:
    assert content_type_of("a.txt", head="fox".encode("utf-16")) == "text/plain"
