"""Views and stripped files of good, odd and hostile pictures."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from app.errors import InvalidInput, NotInstalled
from app.files.images.render import View, make_view
from tests import services

SECRET = b"secret workflow"
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


def video(path: Path) -> bytes:
    av = services.package("av")
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=8)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for shade in (200, 20, 20):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), (shade, 0, 0)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path.read_bytes()


def test_the_first_frame_of_a_video(tmp_path: Path) -> None:
    content = video(tmp_path / "v.mp4")
    view = Image.open(io.BytesIO(view_of(tmp_path, content, View("webp", 32), "b", "video/mp4")))
    assert view.size == (32, 24)
    assert view.convert("RGB").getpixel((9, 9))[0] > 150


@pytest.mark.parametrize("content", [b"", b"\0\0\0\x20ftypisom" + b"\7" * 500, b"#EXTM3U\nfile:a"])
def test_videos_that_are_none(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput):
        view_of(tmp_path, content, WEBP, content_type="video/mp4")


def test_without_pyav_the_remedy_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.files.images.video_frame.find_spec", lambda name: None)
    with pytest.raises(NotInstalled) as caught:
        view_of(tmp_path, b"", WEBP, content_type="video/mp4")
    assert "pip install av" in (caught.value.hint or "")
