"""What becomes of a picture that cannot be read, or not be written, by every kind of work."""

import io
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from app.errors import GatewayError, InvalidInput, StorageFull, StorageUnavailable
from app.files.images import decoding, masks, metadata, render
from app.files.images.jobs import View
from tests.conftest import RunningGateway
from tests.unit.files.images.test_video_frame import video

FORMATS = ("webp", "jpeg", "png", "avif")
Work = Callable[[Path, Path], None]


def picture(form: str, size: tuple[int, int] = (300, 200)) -> bytes:
    content = io.BytesIO()
    Image.effect_noise(size, 80).convert("RGB").save(content, form)
    return content.getvalue()


def view(to: str | None, content_type: str = "image/png") -> Work:
    return lambda source, target: decoding.make_view(source, target, View(to), content_type)


def mask(source: Path, target: Path) -> None:
    decoding.apply_mask(source, source, target)


WORK: dict[str, tuple[str, Work]] = {
    **{f"view as {to}": ("png", view(to)) for to in FORMATS},
    **{f"{form} without metadata": (form, view(None)) for form in ("png", "jpeg", "webp")},
    "view of a video": ("mp4", view("webp", "video/mp4")),
    "mask": ("png", mask),
}


@pytest.fixture(params=WORK)
def work(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Work]:
    """A good file, and what is done with it."""
    form, work = WORK[request.param]
    source = tmp_path / "source"
    source.write_bytes(video(tmp_path / "v.mp4") if form == "mp4" else picture(form))
    return source, work


def test_it_can_be_done(work: tuple[Path, Work], tmp_path: Path) -> None:
    work[1](work[0], tmp_path / "target")
    assert (tmp_path / "target").stat().st_size


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a full disk at hand")
def test_no_room(work: tuple[Path, Work], tmp_path: Path) -> None:
    for name in ("target", "target.frame.png"):  # of videos the frame comes first
        (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(StorageFull):
        work[1](work[0], tmp_path / "target")


def test_no_source(work: tuple[Path, Work], tmp_path: Path) -> None:
    work[0].unlink()
    with pytest.raises(InvalidInput):
        work[1](work[0], tmp_path / "target")


def test_no_folder_for_the_result(work: tuple[Path, Work], tmp_path: Path) -> None:
    with pytest.raises(StorageUnavailable):
        work[1](work[0], tmp_path / "missing" / "target")


def test_a_file_that_is_cut_off_is_told(work: tuple[Path, Work], tmp_path: Path) -> None:
    content = work[0].read_bytes()
    work[0].write_bytes(content[: len(content) // 3])
    with pytest.raises(InvalidInput):
        work[1](work[0], tmp_path / "target")


def test_only_a_check_may_answer_that_it_is_no_image(tmp_path: Path) -> None:
    source = tmp_path / "source"
    assert not decoding.is_readable(source)
    source.write_bytes(b"text")
    assert not decoding.is_readable(source)
    source.write_bytes(picture("png"))
    assert decoding.is_readable(source)


def test_a_video_is_given_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one, with little memory, could only tell that it is too little."""
    begun, run = [], decoding._run
    monkeypatch.setattr(decoding, "_run", lambda *about: begun.append(about) or run(*about))
    source = tmp_path / "source"
    source.write_bytes(video(tmp_path / "v.mp4"))
    view("webp", "video/mp4")(source, tmp_path / "target")
    assert len(begun) == 1


def below(most: int, work: Callable[[], object]) -> bool:
    """Whether it ends well though no file may have more bytes than that."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))  # Python ignores the signal
    try:
        work()
    except (GatewayError, OSError):
        return False
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    return True


@pytest.mark.posix("files have no such limit")
@pytest.mark.parametrize("missing", [1, 100, 5000])
def test_the_last_bytes_have_no_room(tmp_path: Path, missing: int) -> None:
    """Pillow itself writes what there is room for, and says that all is well."""
    source, target = tmp_path / "source", tmp_path / "target"
    ways: dict[str, tuple[str, Callable[[], object]]] = {
        form: ("png", lambda form=form: render.make_view(source, target, View(form), "image/png"))
        for form in FORMATS
    }
    for form in ("png", "jpeg", "webp"):
        ways[f"plain {form}"] = form, lambda: metadata.without_metadata(source, target)
    ways["mask"] = "png", lambda: masks.apply_mask(source, source, target)
    for way, (form, make) in ways.items():
        source.write_bytes(picture(form, (600, 400)))
        make()
        size = target.stat().st_size
        assert below(size, make), way
        assert not below(size - missing, make), way


async def test_nowhere_to_make_it(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = {"image": ("a.png", picture("png", (20, 20)))}  # which is in no file on its way
    upload = (await gateway.http.post("/api/image/upload", files=files)).json()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    for answer in (
        await gateway.http.get(f"{upload['url']}&width=50"),
        await gateway.http.post(
            "/api/image/upload/mask", files=files, data={"original": upload["name"]}
        ),
    ):
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
