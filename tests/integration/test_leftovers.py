"""What was being written when its writer was killed goes; what somebody writes now stays."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.auth.key_store import KeyFile
from app.auth.model import AccessKey
from app.files.stores import temporary
from app.files.stores.atomic import write_atomically
from app.files.stores.leftovers import Leftovers
from app.files.stores.local import LocalStore
from app.files.stores.temporary import (
    OLD,
    YOUNG,
    open_part,
    remove_left,
    remove_left_folders,
    work_folder,
)
from app.settings import Settings
from fake_comfyui.server import DemoServer
from tests.conftest import ROOT, model_free, over, run_gateway, wait_until
from tests.unit.auth.test_authenticator import entry

WRITER = """
import asyncio, sys
from pathlib import Path
from app.files.stores.local import LocalStore
from app.files.stores.temporary import work_folder

async def endless():
    while True:
        yield bytes(1 << 20)
        await asyncio.sleep(0.01)

with work_folder() as folder:
    print(folder, flush=True)
    asyncio.run(LocalStore(Path(sys.argv[1])).save("task/a.bin", endless(), max_bytes=1 << 40))
"""


def parts_in(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.part"))


def leave(path: Path, content: bytes) -> None:
    """As somebody has left it who was killed some minutes ago."""
    path.write_bytes(content)
    os.utime(path, (time.time() - 2 * YOUNG,) * 2)


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that writes a result into tmp_path, and is not through with it."""
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield process
        process.kill()


@pytest.mark.posix("what is open cannot be deleted, and needs no lock")
async def test_a_writer_that_is_killed(writer: "subprocess.Popen[str]", tmp_path: Path) -> None:
    assert writer.stdout is not None
    work = Path(writer.stdout.readline().strip())
    (part,) = await wait_until(lambda: [p for p in parts_in(tmp_path) if p.stat().st_size])
    os.utime(work, (1, 1))
    store = LocalStore(tmp_path)
    await Leftovers([store], tmp_path / "workflows").remove()
    assert (part.exists(), work.exists()) == (True, True), "it is being written"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    await store.remove_left("another task")
    assert part.exists()
    await store.remove_left("task")
    assert parts_in(tmp_path) == []
    remove_left_folders()
    assert not work.exists()


@pytest.mark.parametrize(
    ("name", "age", "stays"),
    [
        (".abcd1234.part", OLD + 60, False),
        (".abcd1234.part", OLD - 60, True),
        (".room-abcd1234.part", OLD + 60, False),
        pytest.param(".held-abcd1234.part", 0, False, marks=pytest.mark.posix("no locks tell it")),
        (".held-abcd1234.part", YOUNG + 60, False),
        (".mine.part", OLD + 60, True),
        ("movie.part", OLD + 60, True),
        ("a.png", OLD + 60, True),
    ],
)
def test_by_name_and_age(name: str, age: float, stays: bool, tmp_path: Path) -> None:
    (tmp_path / "task").mkdir()
    path = tmp_path / "task" / name
    path.write_bytes(b"x")
    os.utime(path, (time.time() - age,) * 2)
    assert remove_left(tmp_path, deep=False) == 0
    assert remove_left(tmp_path) == (not stays)
    assert path.exists() == stays


@pytest.mark.posix("nothing is locked")
def test_where_there_are_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(temporary.fcntl, "flock", refuse)
    with open_part(tmp_path) as file:
        file.write(b"x")
    assert remove_left(tmp_path) == 0
    os.utime(file.name, (1, 1))
    assert remove_left(tmp_path) == 1
    with work_folder() as folder:
        assert folder.is_dir()
    write_atomically(tmp_path / "a.json", b"{}")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.posix("nothing is locked")
def test_a_part_that_was_taken_for_one_that_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its lock somebody looks."""
    lock, removed = temporary._lock, []

    def late(descriptor: int) -> bool:
        if not removed:
            removed.append(remove_left(tmp_path))
        return lock(descriptor)

    monkeypatch.setattr(temporary, "_lock", late)
    with open_part(tmp_path) as file:
        assert Path(file.name).exists()
    assert removed == [1]


async def test_a_gateway_removes_them_at_its_start(
    settings_for: Callable[..., Settings], demo: DemoServer, tmp_path: Path
) -> None:
    folders = ("outputs/a-task", "outputs/.views/a-task/a.png", "uploads/.keys/me", "workflows")
    for folder in (*folders, "workflows/.versions/a.json"):
        (tmp_path / folder).mkdir(parents=True)
        leave(tmp_path / folder / ".held-abcd1234.part", b"x" * 1000)
    kept = tmp_path / "workflows" / "mine"
    kept.mkdir()
    leave(kept / ".held-abcd1234.part", b"x")
    async with run_gateway(settings_for(demo.address)):
        await wait_until(lambda: parts_in(tmp_path) == [kept / ".held-abcd1234.part"])


async def test_a_task_that_is_taken_over(
    settings_for: Callable[..., Settings],
    demo: DemoServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By a gateway that started long ago."""

    async def never(_: Leftovers) -> None:
        return

    monkeypatch.setattr(Leftovers, "remove", never)
    demo.knobs.stall = True
    async with over(settings_for, demo) as gateway:
        task_id = (await gateway.submit(model_free(), wait=0))["task_id"]
        await gateway.until(task_id, "running")
    left = tmp_path / "outputs" / task_id / ".held-abcd1234.part"
    left.parent.mkdir(parents=True, exist_ok=True)
    leave(left, b"half of a picture")
    async with over(settings_for, demo) as gateway:
        demo.knobs.stall = False
        task = await gateway.until(task_id, "succeeded")
        assert len(task["outputs"]) == 1
        assert not left.exists()


def test_a_key_file_that_was_being_written(tmp_path: Path) -> None:
    left = tmp_path / ".held-abcd1234.part"
    leave(left, b"{}")
    (tmp_path / ".other.part").write_text("{}", encoding="utf-8")
    KeyFile(tmp_path / "keys.json").add(AccessKey.load(entry()))
    assert not left.exists()
    assert (tmp_path / ".other.part").exists()


async def test_what_is_written_is_whole(tmp_path: Path) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield bytes(300_000)

    stored = await LocalStore(tmp_path).save("a/b.bin", chunks())
    assert stored.size_bytes == (tmp_path / "a" / "b.bin").stat().st_size == 900_000
    assert parts_in(tmp_path) == []
