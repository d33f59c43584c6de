"""Metadata is removed from pictures, pixels stay."""

import io
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from app.errors import InvalidInput
from app.files.images.render import View, make_view

SECRET = b"secret workflow"


WEBP, PLAIN = View("webp", 64), View(None)


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


def with_metadata(form: str) -> bytes:
    exif = Image.Exif()
    exif[0x010E] = SECRET.decode()
    exif[0x0112] = 6
    icc = {"icc_profile": b"profile" * 9}
    if form == "jpeg":
        return saved(noise(), form, exif=exif, comment=SECRET, xmp=SECRET, progressive=True, **icc)
    if form == "webp":
        return saved(noise(), form, exif=exif, xmp=SECRET, lossless=True, **icc)
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", SECRET.decode())
    text.add_itxt("workflow", SECRET.decode())
    text.add(b"coMf", SECRET, after_idat=True)
    return saved(noise(), form, exif=exif, pnginfo=text, **icc)


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_metadata_goes_and_pixels_stay(tmp_path: Path, form: str) -> None:
    content = with_metadata(form)
    assert SECRET in content
    plain = view_of(tmp_path, content + SECRET, PLAIN)
    assert SECRET not in plain
    before, after = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(plain))
    assert before.tobytes() == after.tobytes()
    assert after.info["icc_profile"] == b"profile" * 9
    if form == "jpeg":
        assert dict(after.getexif()) == {0x0112: 6}, "it would lie on its side without"


def test_an_animation_stays_one(tmp_path: Path) -> None:
    frames = [noise((32, 32)) for _ in range(3)]
    for form in ("webp", "png"):
        content = saved(frames[0], form, save_all=True, append_images=frames[1:], duration=90)
        plain = Image.open(io.BytesIO(view_of(tmp_path, content, PLAIN)))
        assert getattr(plain, "n_frames", 1) == 3


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        saved(noise(), "gif"),
        with_metadata("png")[:300],
        with_metadata("jpeg")[:3000],
        with_metadata("webp")[:3000],
        b"\xff\xd8\xff",
        b"RIFF\xff\xff\xff\xffWEBP",
        b"\x89PNG\r\n\x1a\n",
    ],
)
def test_what_cannot_be_stripped_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        view_of(tmp_path, content, PLAIN)
    assert "format=" in (caught.value.hint or "")
