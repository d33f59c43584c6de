"""Workers: what they need, and what becomes of those that end."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app import processes
from app.errors import BadSettings
from app.listening import listening
from app.processes import Workers, check_workers
from app.settings import Settings
from tests.conftest import WAIT, wait_until
from tests.fleet import lives

# In place of start.py: tells in a file that it lives, and does what its first argument says.
WORKER = """
import os, signal, sys
what, notes, _, inherited = sys.argv[1:]
number, parent = map(int, inherited.split(":")[:2])
with open(notes, "a") as file:
    file.write(f"{number} {os.getpid()}\\n")
if what == "cannot start" or number > 1 and what == "first only":
    sys.exit(3)
if what == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
os.write(parent, b"ready")
os.read(parent, 1)
"""

pytestmark = pytest.mark.posix("there are no workers")
POSTGRESQL, REDIS = "postgresql://gateway@db/gateway", "redis://redis/0"


@pytest.fixture
def settings() -> Settings:
    return Settings(_env_file=None, port=0, workers=2)


@contextlib.asynccontextmanager
async def running(settings: Settings, what: str, notes: Path) -> AsyncIterator[Workers]:
    with listening(settings.host, settings.port) as listeners:
        workers = Workers(settings, ["-c", WORKER, what, str(notes)], listeners)
        task = asyncio.create_task(workers.run())
        try:
            yield workers
        finally:
            for _ in processes.STEPS:
                workers.stop()
            async with asyncio.timeout(WAIT):
                assert await task == 0


def begun(notes: Path) -> list[list[int]]:
    """Number and process id of each worker that began."""
    lines = notes.read_text(encoding="utf-8").splitlines() if notes.exists() else []
    return [[int(word) for word in line.split()] for line in lines]


@pytest.mark.parametrize(
    ("given", "demo", "remedy"),
    [
        ({}, False, "COMFYUI_DATABASE_URL=postgresql://"),
        ({"redis_url": REDIS}, False, "COMFYUI_DATABASE_URL=postgresql://"),
        ({"database_url": POSTGRESQL}, False, "COMFYUI_REDIS_URL=redis://"),
        ({"database_url": POSTGRESQL, "redis_url": REDIS}, True, "--demo"),
    ],
)
def test_what_several_processes_lack_is_named(
    given: dict[str, str], demo: bool, remedy: str
) -> None:
    settings = Settings(_env_file=None, workers=2, **given)
    with pytest.raises(BadSettings, match=r"^Setting COMFYUI_WORKERS \(--workers\): 2 ") as refused:
        check_workers(settings, demo=demo)
    assert remedy in str(refused.value)


@pytest.mark.parametrize("demo", [True, False])
def test_one_process_lacks_nothing(demo: bool) -> None:
    check_workers(Settings(_env_file=None), demo=demo)


def test_several_processes_with_both_lack_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"database_url": POSTGRESQL, "redis_url": REDIS}
    settings = Settings(_env_file=None, workers=3, **given)
    check_workers(settings, demo=False)
    monkeypatch.setattr("sys.platform", "win32")
    with pytest.raises(BadSettings, match="on Windows"):
        check_workers(settings, demo=False)


async def test_a_first_worker_that_cannot_start_is_the_only_one(
    settings: Settings, tmp_path: Path
) -> None:
    with listening(settings.host, settings.port) as listeners:
        command = ["-c", WORKER, "cannot start", str(tmp_path / "notes")]
        assert await Workers(settings, command, listeners).run() == 3
    assert [number for number, _ in begun(tmp_path / "notes")] == [1]


async def test_a_later_one_is_replaced_after_pauses_that_grow(
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(processes, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(processes, "LONGEST_PAUSE", 0.04)

    def said() -> list[str]:
        return [record.message for record in caplog.records if record.levelno == logging.ERROR]

    async with running(settings, "first only", tmp_path / "notes"):
        await wait_until(lambda: len(said()) >= 4)
    assert said()[:4] == [
        f"worker 2 ended (3); another one starts in {pause} s" for pause in (0.01, 0.02, 0.04, 0.04)
    ]
    assert [number for number, _ in begun(tmp_path / "notes")].count(1) == 1


async def test_one_that_dies_after_a_while_is_replaced_after_the_first_pause(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(processes, "LONGEST_PAUSE", 3600.0)
    monkeypatch.setattr(processes, "LASTING", 0.0)
    async with running(settings, "first only", tmp_path / "notes"):
        await wait_until(lambda: len(begun(tmp_path / "notes")) > 15)


async def test_a_third_signal_ends_those_that_do_not_listen(
    settings: Settings, tmp_path: Path
) -> None:
    async with running(settings, "deaf", tmp_path / "notes"):
        await wait_until(lambda: len(begun(tmp_path / "notes")) == 2)
    assert not any(lives(pid) for _, pid in begun(tmp_path / "notes"))
