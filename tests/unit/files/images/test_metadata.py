"""Pictures without metadata look the same: pixels, colours, frames and orientation."""

import io
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageCms, ImageOps, ImageSequence, PngImagePlugin

from app.errors import InvalidInput
from app.files.images.jobs import View
from app.files.images.metadata import plain_profile
from app.files.images.render import make_view

SECRET = b"secret workflow"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()

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
    icc = {"icc_profile": PROFILE + SECRET}
    if form == "jpeg":
        return saved(noise(), form, exif=exif, comment=SECRET, xmp=SECRET, progressive=True, **icc)
    if form == "webp":
        return saved(noise(), form, exif=exif, xmp=SECRET, lossless=True, **icc)
    text = PngImagePlugin.PngInfo()
    text.add_text("prompt", SECRET.decode())
    text.add_itxt("workflow", SECRET.decode())
    text.add(b"coMf", SECRET, after_idat=True)
    return saved(noise(), form, exif=exif, pnginfo=text, **icc)


def opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def furthest(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of a pixel, on white."""
    assert one.size == other.size
    white = Image.new("RGBA", one.size, "white")
    both = (Image.alpha_composite(white, image.convert("RGBA")) for image in (one, other))
    return max(int(most) for _, most in ImageChops.difference(*both).getextrema())


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_metadata_goes_and_pixels_stay(tmp_path: Path, form: str) -> None:
    content = with_metadata(form)
    assert SECRET in content
    plain = view_of(tmp_path, content + SECRET, PLAIN)
    assert SECRET not in plain
    before, after = ImageOps.exif_transpose(opened(content)), opened(plain)
    assert after.format == form.upper()
    assert after.size == (100, 200), "it would lie on its side otherwise"
    if form == "jpeg":
        assert furthest(before, after) < 12
    else:
        assert before.tobytes() == after.tobytes()
    profile = after.info["icc_profile"]
    assert profile[:128] == PROFILE[:84] + bytes(16) + PROFILE[100:128]
    assert not dict(after.getexif())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_a_png_keeps_its_mode_and_pixels(tmp_path: Path, mode: str) -> None:
    image = Image.new("I;16", (50, 20)) if mode == "I;16" else noise((50, 20)).convert(mode)
    if mode == "I;16":
        image.putdata([number * 61 for number in range(1000)])
    options = {"transparency": bytes(range(256))} if mode == "P" else {}
    before = opened(saved(image, "png", **options))
    after = opened(view_of(tmp_path, saved(image, "png", **options), PLAIN))
    assert (after.mode, after.tobytes()) == (before.mode, before.tobytes())
    assert after.convert("RGBA").tobytes() == before.convert("RGBA").tobytes()


def test_how_a_png_means_its_colours_stays(tmp_path: Path) -> None:
    chunks = PngImagePlugin.PngInfo()
    chunks.add(b"gAMA", (45455).to_bytes(4))
    chunks.add(b"cHRM", b"".join(number.to_bytes(4) for number in range(31270, 31278)))
    chunks.add(b"sRGB", b"\1")
    content = saved(noise(), "png", pnginfo=chunks)
    before, after = opened(content).info, opened(view_of(tmp_path, content, PLAIN)).info
    assert {"gamma", "chromaticity", "srgb"} <= set(before)
    assert after == before


def test_a_profile_loses_its_texts_and_no_colours() -> None:
    text = "Copyright: a secret".encode("utf-16-be")
    at = PROFILE.index(b"cprt", 132)
    start = int.from_bytes(PROFILE[at + 4 : at + 8])
    with_text = PROFILE[: start + 28] + text[:20] + PROFILE[start + 48 :]
    plain = plain_profile(with_text + SECRET)
    assert plain is not None
    assert text[:20] in with_text
    assert text[:20] not in plain
    assert SECRET not in plain
    assert lab(plain) == lab(PROFILE)


def lab(profile: bytes) -> bytes:
    """The colours that some pixels have by this profile."""
    image = Image.linear_gradient("L").convert("RGB")
    known = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    to_lab = ImageCms.buildTransform(known, ImageCms.createProfile("LAB"), "RGB", "LAB")
    found = ImageCms.applyTransform(image, to_lab)
    assert found is not None
    return found.tobytes()


@pytest.mark.parametrize(
    "profile", [b"", b"profile" * 9, SECRET * 20, PROFILE[:140], b"x" * 36 + b"acsp" + b"\xff" * 99]
)
def test_what_is_no_profile_does_not_stay(profile: bytes) -> None:
    assert plain_profile(profile) is None


def shape(number: int) -> Image.Image:
    image = Image.new("RGBA", (40, 30), (0, 0, 0, 0))
    image.paste((255, 30 * number, 0, 255), (number * 5, 3, number * 5 + 9, 12))
    return image


def frames(content: bytes) -> list[tuple[Image.Image, float]]:
    found = []
    for frame in ImageSequence.Iterator(opened(content)):
        frame.load()
        found.append((frame.convert("RGBA"), frame.info["duration"]))
    return found


@pytest.mark.parametrize("form", ["gif", "png", "webp"])
@pytest.mark.parametrize("kind", ["opaque", "shapes", "shapes that stay"])
def test_an_animation_stays_one(tmp_path: Path, form: str, kind: str) -> None:
    made = [noise((40, 30)) if kind == "opaque" else shape(number) for number in range(4)]
    options: dict[str, object] = {"lossless": True} if form == "webp" else {}
    if kind == "shapes" and form != "webp":
        options = {"disposal": 2}
    content = saved(
        made[0],
        form,
        save_all=True,
        append_images=made[1:],
        duration=[50, 90, 60, 200],
        loop=3,
        **({"comment": SECRET} if form == "gif" else {}),
        **options,
    )
    plain = view_of(tmp_path, content, PLAIN)
    assert SECRET not in plain
    before, after = frames(content), frames(plain)
    assert [seconds for _, seconds in after] == [seconds for _, seconds in before]
    assert opened(plain).info["loop"] == 3
    assert [furthest(one, other) for (one, _), (other, _) in zip(before, after, strict=True)] == [
        *(0, 0, 0, 0)
    ]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        saved(noise(), "bmp"),
        saved(noise(), "tiff"),
        saved(noise(), "gif")[:300],
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


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("exif", [b"Exif\0\0MM\0*no directory", b"Exif\0\0nothing"])
def test_damaged_metadata_is_no_obstacle(tmp_path: Path, exif: bytes) -> None:
    for form in ("png", "jpeg", "webp"):
        image = noise()
        content = saved(image, form, exif=exif, icc_profile=SECRET)
        plain = view_of(tmp_path, content, PLAIN)
        assert opened(plain).size == image.size
        assert not {"exif", "icc_profile"} & set(opened(plain).info), form


def test_a_large_lossless_webp_is_of_high_quality(tmp_path: Path) -> None:
    """To encode it without loss takes more memory than there may be."""
    content = saved(Image.linear_gradient("L").resize((3000, 2700)), "webp", lossless=True)
    plain = view_of(tmp_path, content, PLAIN)
    assert furthest(opened(content), opened(plain)) in range(1, 9)


def test_an_apng_keeps_a_picture_that_is_none_of_its_frames(tmp_path: Path) -> None:
    frames = [Image.new("RGBA", (8, 8), (number * 60, 0, 0, 255)) for number in range(5)]
    content = saved(
        frames[0], "png", save_all=True, append_images=frames[1:], default_image=True, duration=70
    )
    before, after = opened(content), opened(view_of(tmp_path, content, PLAIN))
    assert (after.n_frames, after.info["default_image"]) == (before.n_frames, True) == (5, True)
    for number in range(5):
        before.seek(number)
        after.seek(number)
        assert after.convert("RGBA").tobytes() == before.convert("RGBA").tobytes()
        assert after.info.get("duration") == before.info.get("duration")


def test_an_animated_lossless_webp_keeps_its_alpha(tmp_path: Path) -> None:
    # Of few colors and with these rows the encoder forgets to say that one is transparent.
    frames = [Image.new("RGBA", (60, 40), (number * 50, 255, 0, 255)) for number in range(5)]
    for frame in frames:
        frame.paste((0, 0, 0, 0), (0, 0, 60, 10))
    options = {"lossless": True, "kmin": 0, "kmax": 1}
    content = saved(frames[0], "webp", save_all=True, append_images=frames[1:], **options)
    before, after = opened(content), opened(view_of(tmp_path, content, PLAIN))
    assert before.mode == after.mode == "RGBA"
    for number in range(5):
        before.seek(number)
        after.seek(number)
        assert furthest(after, before) == 0
        assert after.getpixel((0, 0))[3] == 0
