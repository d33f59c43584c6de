"""Temporary files and folders: hidden from listings, and locked while they are in use.

A killed process leaves them unlocked, so that they can be deleted. Files of an earlier version and
on file systems without locks are unlocked, too; they are deleted when they are old. The lock is on
the file itself and is kept when it is renamed; `filelock` would lock another file.

Windows needs no lock: it deletes no file that is open. There a writer closes its file a moment
before it is renamed (`put_in_place`), so a young one is left alone.
"""

import errno
import logging
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from app.files.stores import sharing

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

log = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # what OSErrors of a full disk have
SUFFIX = ".part"
LOCKED = ".held-"  # name prefix of locked files
FOLDER = "comfyui-gateway-work-"  # name prefix of working folders
IN_USE = ".in-use"  # file in a working folder that is open on Windows while the folder is used
YOUNG = 60.0  # seconds in which a new folder, or a closed file, may not be what is left
OLD = 3600.0  # seconds since the last write after which an unlocked file is unused
_NAMES = re.compile(r"\.(?:held-|room-)?[a-z0-9_]{8}\.part")


def is_part(name: str) -> bool:
    return name.startswith(".") and name.endswith(SUFFIX)


def open_part(folder: Path) -> IO[bytes]:
    """Create a locked file to be renamed by the caller. Raises OSError."""
    while True:
        path = folder / f"{LOCKED}{secrets.token_hex(4)}{SUFFIX}"
        try:
            file = open(path, "xb", opener=_for_the_owner)  # noqa: SIM115 (renamed, not closed here)
        except FileExistsError:
            continue
        # Before it is locked it may be deleted as a leftover; then another one is created.
        if not _lock(file.fileno()) or _is_there(file.fileno(), path):
            return file
        file.close()


def check_writable(folder: Path) -> None:
    """Raise OSError, with the folder as its file name, if no file can be created in the folder.

    A full disk is no error: room can be made while the gateway runs.
    """
    try:
        with open_part(folder) as file:
            pass
        sharing.remove_file(Path(file.name))
    except OSError as error:
        if error.errno not in FULL:
            raise OSError(error.errno, error.strerror, str(folder)) from error


def _for_the_owner(path: str, flags: int) -> int:
    """Open a file that only its owner may read."""
    return os.open(path, flags, 0o600)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Yield a working folder that is deleted at the end."""
    # A process that was killed may still have a file in it open on Windows: it is left then
    folder = tempfile.TemporaryDirectory(prefix=FOLDER, ignore_cleanup_errors=sharing.WINDOWS)
    with folder as name, _locked_folder(name):
        yield Path(name)


@contextmanager
def _locked_folder(name: str) -> Iterator[None]:
    if sharing.WINDOWS:
        with Path(name, IN_USE).open("xb"):
            yield
        return
    descriptor = os.open(name, os.O_RDONLY)
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def remove_left(folder: Path, *, deep: bool = True) -> int:
    """Delete leftovers in a folder, with `deep` also below it; return their number.

    Files in use, and files that cannot be deleted, are kept.
    """
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
    """Delete working folders of dead processes of this machine."""
    remove = _remove_unopened_folder if sharing.WINDOWS else _remove_unlocked_folder
    for path in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        with suppress(OSError):
            remove(path)


def _remove_unlocked_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    try:
        is_young = os.fstat(descriptor).st_mtime > time.time() - YOUNG
        if not is_young and _is_left(descriptor, has_lock=True):
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _remove_unopened_folder(path: Path) -> None:
    if path.lstat().st_mtime < time.time() - YOUNG:
        Path(path, IN_USE).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def _remove(path: Path) -> bool:
    if sharing.WINDOWS:
        return _remove_unopened(path)
    descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    try:
        left = _is_left(descriptor, has_lock=path.name.startswith(LOCKED))
        if left and _is_there(descriptor, path):
            path.unlink()
            return True
        return False
    finally:
        os.close(descriptor)


def _remove_unopened(path: Path) -> bool:
    """Delete a file unless it is young or open. Raises OSError if it is open."""
    age = YOUNG if path.name.startswith(LOCKED) else OLD
    if path.lstat().st_mtime > time.time() - age:
        return False
    path.unlink()
    return True


def _is_left(descriptor: int, *, has_lock: bool) -> bool:
    """Return whether the file is unused; if so its lock is held afterwards."""
    about = os.fstat(descriptor)
    is_old = about.st_mtime < time.time() - OLD
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return is_old
    return has_lock or is_old


def _lock(descriptor: int) -> bool:
    """Lock the file; return False where locks are not supported."""
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError:
        return False
    return True


def _is_there(descriptor: int, path: Path) -> bool:
    """Return whether the open file still has this path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
