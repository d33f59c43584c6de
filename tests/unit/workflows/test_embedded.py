"""Workflows out of pictures: real ones, made ones, broken ones."""

import io
import json
import struct
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from app.errors import GatewayError, WorkflowFormatUnsupported
from app.workflows import embedded
from app.workflows.embedded import extract, is_image
from app.workflows.formats import Format, unwrap
from tests.conftest import ROOT, model_free
from tests.effort import effort

PICTURES = ROOT / "tests/fixtures/pictures"
API = model_free()
UI = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}


MODEL, MAKE = 0x0110, 0x010F


def png(*texts: tuple[str, Any], add: str = "add_text", **options: Any) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in texts:
        getattr(info, add)(key, value if isinstance(value, str) else json.dumps(value), **options)
    target = io.BytesIO()
    Image.new("RGB", (8, 8)).save(target, "PNG", pnginfo=info)
    return target.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + b"\0\0\0\0"


def picture(kind: str, tags: dict[int, str]) -> bytes:
    """A picture with texts in its EXIF, written as ComfyUI's SaveAnimatedWEBP does it."""
    image, target = Image.new("RGB", (8, 8)), io.BytesIO()
    exif = image.getexif()
    for tag, text in tags.items():
        exif[tag] = text
    image.save(target, kind, exif=exif)
    return target.getvalue()


@pytest.mark.parametrize("name", ["saved.png", "animated.png", "animated.webp"])
def test_what_comfyui_has_saved(name: str) -> None:
    data = (PICTURES / name).read_bytes()
    history = json.loads((PICTURES / "history.json").read_text(encoding="utf-8"))
    assert is_image(data)
    assert unwrap(extract(data)) == unwrap(history)


@pytest.mark.parametrize(
    ("add", "options"),
    [("add_text", {}), ("add_text", {"zip": True}), ("add_itxt", {}), ("add_itxt", {"zip": True})],
    ids=["tEXt", "zTXt", "iTXt", "packed iTXt"],
)
def test_the_kinds_of_text_in_a_png(add: str, options: Any) -> None:
    texts = ("workflow", UI), ("prompt", API)
    assert unwrap(extract(png(*texts, add=add, **options)))[1] == API
    assert extract(png(texts[0], add=add, **options)) == UI


@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_the_texts_in_exif(kind: str) -> None:
    both = {MODEL: f"prompt:{json.dumps(API)}", MAKE: f"workflow:{json.dumps(UI)}"}
    assert unwrap(extract(picture(kind, both)))[1] == API
    assert extract(picture(kind, {MAKE - 1: f"Workflow:{json.dumps(UI)}"})) == UI


def test_exif_of_both_byte_orders() -> None:
    text = b"workflow:" + json.dumps(UI).encode() + b"\0"
    for order, mark in (("<", b"II"), (">", b"MM")):
        entry = struct.pack(order + "HHHII", 1, MAKE, 2, len(text), 26)
        tiff = mark + struct.pack(order + "HI", 42, 8) + entry + b"\0\0\0\0" + text
        body = b"WEBP" + struct.pack("<4sI", b"EXIF", len(tiff)) + tiff
        assert extract(b"RIFF" + struct.pack("<I", len(body)) + body) == UI


def test_bare_nan_is_read_as_null() -> None:
    text = '{"1": {"class_type": "A", "inputs": {"x": NaN, "y": -Infinity, "z": 1e999}}}'
    assert extract(png(("prompt", text)))["1"]["inputs"] == {"x": None, "y": None, "z": None}


@pytest.mark.parametrize("bad", ["", "{", "[1]", '{"a": "\\ud800"}', "[" * 9999, '{"a": 1}'])
def test_a_broken_prompt_leaves_the_workflow(bad: str) -> None:
    assert extract(png(("prompt", bad), ("workflow", UI))) == UI


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (png(), "no texts at all"),
        (png(("parameters", "a cat\nSteps: 20")), "'parameters'"),
        (png(("prompt", "a cat"), ("Software", "GIMP")), "'prompt', 'software'"),
        (picture("WEBP", {}), "no texts"),
        (picture("JPEG", {MODEL: "Nikon"}), "no texts"),
        (embedded.PNG, "no texts"),
        (embedded.PNG + b"\xff" * 50, "no texts"),
        (b"RIFF\0\0\0\0WEBPEXIF\xff\xff\xff\xffII*\0\xff\xff\xff\xff", "no texts"),
        (b"\xff\xd8\xff\xe1\0\x00", "no texts"),
    ],
)
def test_a_picture_without_a_workflow(data: bytes, words: str) -> None:
    with pytest.raises(WorkflowFormatUnsupported) as caught:
        extract(data)
    assert words in caught.value.detail


def test_a_picture_that_was_cut_off_still_has_its_beginning() -> None:
    whole = png(("prompt", API))
    assert extract(whole[:-30]) == API


def test_a_text_that_unpacks_to_gigabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "MAX_TEXT", 1000)
    bomb = zlib.compress(b" " * 1001)
    with pytest.raises(WorkflowFormatUnsupported, match="larger than 1000"):
        extract(embedded.PNG + chunk(b"zTXt", b"prompt\0\0" + bomb))


def test_only_the_first_text_of_a_name_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    unpacked: list[bytes] = []
    monkeypatch.setattr(embedded, "_unpacked", lambda data: unpacked.append(data) or b"")
    many = chunk(b"zTXt", b"prompt\0\0x") * 50 + chunk(b"zTXt", b"other\0\0x")
    with suppress(WorkflowFormatUnsupported):
        extract(embedded.PNG + many)
    assert len(unpacked) == 1


def test_texts_that_lie_upon_each_other_are_not_all_read() -> None:
    size, count = 8 << 20, 60_000
    entries = struct.pack("<HHII", MAKE, 2, size, 0) * count
    tiff = (b"II*\0" + struct.pack("<IH", 8, count) + entries).ljust(size, b":")
    # A text that is read takes three calls more than one that is passed over.
    with effort(1.1 * count), pytest.raises(WorkflowFormatUnsupported):
        extract(b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", size) + tiff)


BEGINNINGS = st.sampled_from(
    [
        embedded.PNG,
        b"RIFF\0\0\0\0WEBP",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\0\x40Exif\0\0MM\0*",
        b"",
    ]
)
KINDS = st.sampled_from([b"tEXt", b"zTXt", b"iTXt", b"comf", b"EXIF"])
KEYS = st.sampled_from([b"prompt\0", b"workflow\0\1\0\0\0", b"II*\0\x08\0\0\0", b""])


@given(BEGINNINGS, st.lists(st.tuples(KINDS, KEYS, st.binary(max_size=40))), st.binary())
def test_arbitrary_bytes_give_a_workflow_or_our_error(
    beginning: bytes, chunks: list[tuple[bytes, bytes, bytes]], rest: bytes
) -> None:
    data = beginning + b"".join(chunk(kind, key + text) for kind, key, text in chunks) + rest
    with suppress(GatewayError):
        unwrap(extract(data))


@given(st.sampled_from(["saved.png", "animated.png", "animated.webp"]), st.data())
def test_real_pictures_with_damage(name: str, data: st.DataObject) -> None:
    content = bytearray((PICTURES / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with suppress(GatewayError):
        assert unwrap(extract(bytes(content)))[0] in Format
