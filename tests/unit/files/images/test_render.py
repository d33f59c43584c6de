"""Views of pictures."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from app.errors import InvalidInput
from app.files.images.jobs import View
from app.files.images.render import make_view

WEBP, PLAIN = View("webp", 64), View(None)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_bomb(width: int, height: int) -> bytes:
    """A few kilobytes that say they are a picture of that size."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    body = zlib.compress(b"\0" * 1_000_000)
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def noise(size: tuple[int, int] = (200, 100)) -> Image.Image:
    return Image.effect_noise(size, 80).convert("RGB")


def view_of(
    folder: Path, content: bytes, view: View, name: str = "a", content_type: str = "image/png"
) -> bytes:
    source, target = folder / name, folder / "view"
    source.write_bytes(content)
    make_view(source, target, view, content_type)
    return target.read_bytes()


HOSTILE = {
    "30,000 pixels square": png_bomb(30_000, 30_000),
    "more than a signed integer": png_bomb(0x7FFFFFFF, 0x7FFFFFFF),
    "no data behind the header": png_bomb(5000, 5000),
    "truncated png": saved(noise(), "png")[:2000],
    "truncated jpeg": saved(noise(), "jpeg")[:1000],
    "truncated webp": saved(noise(), "webp")[:1000],
    "truncated avif": saved(noise(), "avif")[:500],
    "gif of many pixels": b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0" + b"," * 99,
    "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n",
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>',
    "text": b"hello",
    "nothing": b"",
    "bad chunk": saved(noise(), "png")[:60] + b"\xff" * 4000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pictures_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput):
        view_of(tmp_path, HOSTILE[name], WEBP)


def test_a_long_animation_costs_one_frame(tmp_path: Path) -> None:
    frames = [Image.new("L", (300, 300), value) for value in range(100)]
    content = saved(frames[0], "gif", save_all=True, append_images=frames[1:])
    assert Image.open(io.BytesIO(view_of(tmp_path, content, WEBP))).size == (64, 64)


@pytest.mark.parametrize("form", ["webp", "jpeg", "png", "avif"])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_mode_becomes_every_format(tmp_path: Path, mode: str, form: str) -> None:
    image = noise().convert(mode) if mode != "I;16" else Image.new("I;16", (200, 100), 40_000)
    kept = "tiff" if mode in ("CMYK", "F", "I;16", "I") else "png"
    content = view_of(tmp_path, saved(image, kept), View(form, 100, 100))  # type: ignore[arg-type]
    found = Image.open(io.BytesIO(content))
    assert (found.format, found.size) == (form.upper(), (100, 50))


def test_a_turned_photograph_stands_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    content = saved(noise((200, 100)), "jpeg", exif=exif)
    view = Image.open(io.BytesIO(view_of(tmp_path, content, View("png", 50, 80))))
    assert view.size == (40, 80)
    assert not view.getexif()
