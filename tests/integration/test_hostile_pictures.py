"""Pictures made to take all memory and time: what each costs at every route that reads them."""

import asyncio
import contextlib
import io
import os
import resource
import struct
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from app.errors import InvalidInput
from app.files.images import decoding
from app.files.images.headers import check_head, webp_size
from app.files.images.jobs import View
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.keyholders import guarded

pytestmark = pytest.mark.slow

SECONDS = 1  # of CPU time, at which a process here is ended; two of them may be given one file
MEMORY = 520 << 20  # bytes that two of them may take together, this process aside


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, colours: int = 2, depth: int = 8, more: bytes = b"") -> bytes:
    """A black one; `colours`: 0 grey, 2 RGB, 6 RGBA."""
    row = b"\0" * (1 + width * {0: 1, 2: 3, 6: 4}[colours] * depth // 8)
    packer = zlib.compressobj(1)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colours, 0, 0, 0)
    parts = chunk(b"IHDR", header) + more + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def saved(image: Image.Image, form: str, **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def many_scans(size: int, count: int) -> bytes:
    """A progressive JPEG whose last scan is there again and again."""
    content = saved(Image.new("L", (size, size)), "jpeg", progressive=True)[:-2]
    return content + content[content.rindex(b"\xff\xda") :] * count + b"\xff\xd9"


def directory(entries: int, size: int) -> bytes:
    """A TIFF of which each entry says that its value is the whole file."""
    rows = (struct.pack("<HHII", 1000 + number, 1, size, 0) for number in range(entries))
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", entries) + b"".join(rows)).ljust(size, b"\0")


SMALL = saved(Image.new("RGB", (8, 8)), "jpeg")
GIF = b"GIF89a" + struct.pack("<HH", 9, 9) + b"\0\0\0"
FRAME = saved(Image.new("L", (9, 9)), "gif")[13:]
BOMB = zlib.compress(b"\0" * 100_000_000)

FILES: dict[str, Callable[[], bytes]] = {
    "jpeg of fill bytes": lambda: b"\xff\xd8" + b"\xff" * 60_000_000 + b"\1",
    "jpeg of stuffed bytes": lambda: SMALL[:-2] + b"\xff\0" * 30_000_000,
    "jpeg of restarts": lambda: SMALL[:-2] + b"\xff\xd3" * 30_000_000,
    "jpeg of small segments": lambda: b"\xff\xd8" + b"\xff\xe0\0\2" * 15_000_000,
    "jpeg of much exif": lambda: b"\xff\xd8" + (b"\xff\xe1\xff\xffExif\0\0" + b"x" * 65527) * 900,
    "jpeg of many scans": lambda: many_scans(6000, 3000),
    "large progressive jpeg": lambda: saved(Image.new("L", (9400, 9400)), "jpeg", progressive=True),
    "png of small chunks": lambda: png(9, 9, more=chunk(b"abcd", b"") * 3_000_000),
    "png of packed texts": lambda: png(9, 9, more=chunk(b"zTXt", b"x\0\0" + BOMB) * 100),
    "png of a packed profile": lambda: png(9, 9, more=chunk(b"iCCP", b"x\0\0" + BOMB)),
    "png with a directory": lambda: png(9, 9, more=chunk(b"eXIf", directory(20_000, 5_000_000))),
    "png one row high": lambda: png(80_000_000, 1, 0),
    "png one column wide": lambda: png(1, 2_000_000, 0),
    "grey png, as large as may be": lambda: png(9400, 9400, 0),
    "png of 16 bits": lambda: png(9400, 9400, 0, 16),
    "RGBA png, larger than may be": lambda: png(9400, 9400, 6),
    "large webp": lambda: saved(Image.new("RGB", (9000, 9000)), "webp", method=0),
    "tiff of floats": lambda: saved(Image.new("F", (5500, 5500)), "tiff", compression="tiff_lzw"),
    "tiff with a directory": lambda: directory(20_000, 5_000_000),
    "gif of one comment": lambda: (
        GIF + b"\x21\xfe" + (b"\xff" + b"c" * 255) * 200_000 + b"\0" + FRAME
    ),
    "gif of many comments": lambda: GIF + b"\x21\xfe\1c\0" * 6_000_000 + FRAME,
    "gif of many frames": lambda: GIF + FRAME[:-1] * 500_000 + b";",
}
WAYS: dict[str, Callable[[Path, Path], object]] = {
    "view": lambda file, target: decoding.make_view(file, target, View("webp", 300), "image/png"),
    "full view": lambda file, target: decoding.make_view(file, target, View("png"), "image/png"),
    "strip": lambda file, target: decoding.make_view(file, target, View(None), "image/png"),
    "mask": lambda file, target: decoding.apply_mask(file, file, target),
    "check": lambda file, target: decoding.is_readable(file),
}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "SECONDS", SECONDS)


def cost(work: Callable[[], object]) -> tuple[float, int]:
    """Seconds of CPU and bytes of memory that processes took for it, more than we had before."""
    ours = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reading, writing = os.pipe()
    if (pid := os.fork()) == 0:
        try:
            work()
        except InvalidInput:
            pass
        finally:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            memory = max(used.ru_maxrss - ours, 0) * 1024
            os.write(writing, f"{used.ru_utime + used.ru_stime} {memory}".encode())
            os._exit(0)
    os.waitpid(pid, 0)
    os.close(writing)
    with os.fdopen(reading) as said:
        seconds, memory = said.read().split()
    return float(seconds), int(memory)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", FILES)
def test_what_a_file_costs(tmp_path: Path, name: str) -> None:
    file = tmp_path / "hostile"
    file.write_bytes(FILES[name]())
    for way, work in WAYS.items():
        seconds, memory = cost(partial(work, file, tmp_path / "target"))
        assert seconds < 2 * SECONDS + 1, f"{way} of {name}: {seconds:.1f} s"
        assert memory < decoding.WITH_MOST + (file.stat().st_size), (
            f"{way} of {name}: {memory >> 20} MiB"
        )


def test_a_large_result_has_views(tmp_path: Path) -> None:
    """What a workflow makes that scales up by four: 67 million pixels."""
    file, target = tmp_path / "large", tmp_path / "view"
    for colours, view in ((2, View("webp", 256)), (6, View("jpeg", 4096))):
        file.write_bytes(png(8192, 8192, colours))
        decoding.make_view(file, target, view, "image/png")
        with Image.open(target) as made:
            assert made.size == (view.width, view.width)


def test_what_is_too_large_is_told_before_it_is_decoded(tmp_path: Path) -> None:
    file, target = tmp_path / "large.png", tmp_path / "view"
    file.write_bytes(png(9400, 9400, 0))
    with pytest.raises(InvalidInput, match=r"takes \d+ MiB of memory to decode; 272 are allowed"):
        decoding.apply_mask(file, file, target)
    _seconds, memory = cost(lambda: decoding.apply_mask(file, file, target))
    assert memory < 30 << 20, "the pixels alone are 84 MiB"


def test_sizes_of_webp() -> None:
    for options in ({"lossless": True}, {}, {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0"}):
        content = saved(Image.new("RGB", (300, 200)), "webp", **options)
        assert webp_size(content[:512]) == (300, 200), options


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "gif"])
def test_good_files_pass(form: str) -> None:
    content = saved(Image.new("L", (300, 200)), form, icc_profile=b"x" * 300_000)
    for length in (len(content), len(content) // 2, 12, 2, 0):
        check_head(content[:512], io.BytesIO(content[:length]))


def memory_of_children() -> int:
    """Bytes of the decoders, without pages that they share with files. A child that has not become
    a decoder yet has the memory of this process."""
    found = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # it has just ended
            if b"decoder" not in status.with_name("cmdline").read_bytes():
                continue
            fields = dict(
                line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines()
            )
            if int(fields["PPid"]) == os.getpid():
                found += int(fields.get("RssAnon", "0 kB").split()[0]) << 10
    return found


@pytest.mark.usefixtures("impatient")
async def test_others_are_served_meanwhile(
    settings_for: Callable[..., Settings], tmp_path: Path, demo: DemoServer
) -> None:
    """Two keys ask for all that is costly, at once; a third one looks at its tasks, and is answered
    more often before half of that is done than if it waited for each."""
    keys = {"bad": "run", "worse": "run", "good": "run"}
    contents = [png(8192, 8192), many_scans(6000, 3000), png(8000, 8000, 6), png(9400, 9400, 0)]
    async with guarded(settings_for, tmp_path, demo, keys=keys) as found:
        good = await found.client("good")
        asking: list[asyncio.Task[object]] = []
        for name in ("bad", "worse"):
            client = await found.client(name)
            for number, content in enumerate(contents):
                files = {"image": (f"{number}.png", content)}
                upload = (await client.post("/api/image/upload", files=files)).json()
                form = {"original": upload["name"]}
                asking += [
                    asyncio.create_task(client.get(f"{upload['url']}&width=50")),
                    asyncio.create_task(
                        client.post("/api/image/upload/mask", files=files, data=form)
                    ),
                ]
        answers, most = 0, 0
        while sum(one.done() for one in asking) < len(asking) / 2:
            assert (await good.get("/api/tasks")).status_code == 200
            answers += 1
            most = max(most, await asyncio.to_thread(memory_of_children))
        for one in asking:
            one.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
    assert 0 < most < MEMORY, f"{most >> 20} MiB"
    assert answers > len(asking)
