"""Files and folders for as long as somebody writes or works in them: named so that no list shows
them, and locked. Whoever is killed leaves them behind without the lock, and they are removed.

A file of a former version has no lock, nor has one where the file system knows none: it goes once
it is old.

The lock is on the file itself, and goes along as it is renamed; `filelock` locks a file beside it.
"""

import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

SUFFIX = ".part"
LOCKED = ".held-"  # how the names of those begin that are locked
FOLDER = "comfyui-gateway-work-"  # and of folders to work in
YOUNG = 60.0  # seconds in which a folder may not be locked yet
OLD = 3600.0  # seconds since anything was written, after which nobody goes on with it
_NAMES = re.compile(r"\.(?:held-|room-)?[a-z0-9_]{8}\.part")


def is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(SUFFIX)


def open_part(folder: Path) -> IO[bytes]:
    """A new file to be written, whose `name` is to be replaced by its own. Raises OSError."""
    while True:
        file: IO[bytes] = tempfile.NamedTemporaryFile(  # noqa: SIM115 (renamed, not closed here)
            dir=folder, prefix=LOCKED, suffix=SUFFIX, delete=False
        )
        # Until it is locked it looks like one that was left: then it is gone, and another is made.
        if not _lock(file.fileno()) or _is_there(file.fileno(), Path(file.name)):
            return file
        file.close()


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder to work in, and nothing of it afterwards."""
    with tempfile.TemporaryDirectory(prefix=FOLDER) as name, _locked_folder(name):
        yield Path(name)


@contextmanager
def _locked_folder(name: str) -> Iterator[None]:
    descriptor = os.open(name, os.O_RDONLY) if fcntl is not None else -1
    try:
        if descriptor >= 0:
            _lock(descriptor)
        yield
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def remove_left(folder: Path, *, deep: bool = True) -> int:
    """Remove what was left behind in a folder, and with `deep` in those below it; how many files
    that were. What is being written by anybody stays, and so does what cannot be removed."""
    removed = 0
    for where, folders, names in os.walk(folder):
        if not deep:
            folders.clear()
        for name in names:
            if _NAMES.fullmatch(name):
                with suppress(OSError):
                    removed += _remove(Path(where, name))
    if removed:
        log.info("removed %d files that were never written to their end", removed)
    return removed


def remove_left_folders() -> None:
    """Remove what processes of this machine left behind that worked in a `work_folder`."""
    for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                is_young = os.fstat(descriptor).st_mtime > time.time() - YOUNG
                if not is_young and _is_left(descriptor, has_lock=True):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _remove(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        left = _is_left(descriptor, has_lock=path.name.startswith(LOCKED))
        if left and _is_there(descriptor, path):
            path.unlink()
            return True
        return False
    finally:
        os.close(descriptor)


def _is_left(descriptor: int, *, has_lock: bool) -> bool:
    """Whether nobody works on it. Holds the lock afterwards, if so."""
    about = os.fstat(descriptor)
    is_old = about.st_mtime < time.time() - OLD
    if fcntl is None:
        return is_old
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return is_old
    return has_lock or is_old


def _lock(descriptor: int) -> bool:
    """False where there are no locks."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_there(descriptor: int, path: Path) -> bool:
    """Whether the file that is open still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
