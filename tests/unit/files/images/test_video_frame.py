"""The first frame of a video."""

import io
from pathlib import Path

import pytest
from PIL import Image

from app.errors import InvalidInput, NotInstalled
from app.files.images.jobs import View
from app.files.images.render import make_view
from tests import services

WEBP, PLAIN = View("webp", 64), View(None)


def view_of(
    folder: Path, content: bytes, view: View, name: str = "a", content_type: str = "image/png"
) -> bytes:
    source, target = folder / name, folder / "view"
    source.write_bytes(content)
    make_view(source, target, view, content_type)
    return target.read_bytes()


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
