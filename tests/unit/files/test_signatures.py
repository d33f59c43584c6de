"""Whether a file's first bytes fit its name."""

import io

import pytest
from PIL import Image

from app.files import signatures
from app.files.kinds import content_type_of, kind_of
from app.files.signatures import SNIFFED_BYTES, fits, signature_of


def picture(form: str) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 8)).save(content, form)
    return content.getvalue()[:SNIFFED_BYTES]


MP4 = b"\0\0\0\x20ftypisom" + b"\0" * 40
OGG = b"OggS" + b"\0" * 40
LATENT = b"\x20\0\0\0\0\0\0\0{}"


@pytest.mark.parametrize(
    ("head", "content_type", "suffix", "fitting"),
    [
        (picture("png"), "image/png", ".png", {"image", "video"}),
        (b"\xff\x0a\xfa", "image/jxl", ".jxl", {"image", "video"}),
        (b"\x76\x2f\x31\x01", "image/x-exr", ".exr", {"image", "video"}),
        (MP4, "video/mp4", ".mp4", {"audio", "video"}),
        (OGG, "audio/ogg", ".ogg", {"audio"}),
        (OGG[:28] + b"\x80theora", "video/ogg", ".ogv", {"audio", "video"}),
        (b"FORM\0\0\0\0AIFF", "audio/aiff", ".aiff", {"audio"}),
        (b"\xff\xfb\x90", "audio/mpeg", ".mp3", {"audio"}),
        (b"\xff\xf1\x50", "audio/aac", ".aac", {"audio"}),
        (b"glTF\2\0\0\0", "model/gltf-binary", ".glb", set()),
    ],
)
def test_what_an_input_may_have(
    head: bytes, content_type: str, suffix: str, fitting: set[str]
) -> None:
    found = signature_of(head)
    assert found is not None
    assert (found.content_type, found.suffix) == (content_type, suffix)
    assert kind_of(f"a{suffix}", content_type_of(f"a{suffix}")) is found.kind
    assert {wanted for wanted in ("image", "audio", "video") if fits(wanted, found)} == fitting
    assert fits("file", found)


@pytest.mark.parametrize("head", [b"", b"<html>", b"PK\3\4", b"%PDF-1.7", b"\xff", LATENT])
def test_what_tells_nothing(head: bytes) -> None:
    assert signature_of(head) is None
    assert not any(fits(wanted, None) for wanted in ("image", "audio", "video"))
    assert fits("mesh", None)


def test_each_format_has_the_kind_and_the_type_of_its_name() -> None:
    for _, one in (*signatures._KNOWN, *signatures._GUESSED):
        if one.suffix:
            assert content_type_of(f"a{one.suffix}") == one.content_type
            assert kind_of(f"a{one.suffix}", one.content_type) is one.kind
