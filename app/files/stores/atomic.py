"""Access to files that other processes change.

Files are written such that readers see the old or the new content, never a part of it, and only
regular files are read.
"""

import errno
import os
import stat
from pathlib import Path
from typing import IO, BinaryIO

from app.files.stores import sharing
from app.files.stores.temporary import open_part

SHARED_MODE = 0o644  # readable for other users of the machine


def write_atomically(
    path: Path, content: bytes, mode: int = SHARED_MODE, *, durable: bool = False
) -> None:
    """Write a temporary file, then rename it. Raises OSError, leaving nothing behind.

    `durable`: sync to disk before the rename, so that the file is complete after a power failure.
    """
    file = open_part(path.parent)
    try:
        with file:
            file.write(content)
            put_in_place(file, path, mode, durable=durable)
    except BaseException:
        sharing.remove_file(Path(file.name))
        raise


def put_in_place(
    file: IO[bytes], target: Path, mode: int = SHARED_MODE, *, durable: bool = False
) -> None:
    """Rename a written temporary file to its target. Raises OSError.

    It is renamed while it is open, as it is locked so long and no leftover; on Windows, which
    renames no open file, right after. A reader of the former file reads on, or on Windows, where it
    opens the file anew for each piece, notices that it is another one.
    """
    partial = Path(file.name)
    file.flush()
    if durable:
        os.fsync(file.fileno())
    partial.chmod(mode)  # temporary files are readable for their owner only
    if sharing.WINDOWS:
        file.close()
    sharing.patiently(lambda: partial.replace(target))


# Windows has no NONBLOCK, and would convert ends of lines
_READING = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_READING |= getattr(os, "O_CLOEXEC", 0)


class NotRegular(OSError):
    """The path is no regular file: a folder, pipe, socket, device, or a link to itself."""


class TooLarge(OSError):
    """The file is larger than the limit."""


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading. Raises OSError, and NotRegular for anything else."""
    return os.fdopen(open_handle(path), "rb")


def open_handle(path: Path | str) -> int:
    """Return a handle of what `open_regular` opens.

    Opening a pipe would wait for a writer, and a device may never end.
    """
    try:
        handle = sharing.patiently(lambda: _opened(path))
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP, errno.EISDIR):  # a socket, a loop of links
            raise NotRegular(error.errno, "it is no regular file", str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotRegular(errno.EINVAL, "it is no regular file", str(path))
    except BaseException:
        os.close(handle)
        raise
    return handle


def _opened(path: Path | str) -> int:
    try:
        return os.open(path, _READING)
    except PermissionError as error:
        if sharing.WINDOWS and Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder", str(path)) from error
        raise


def read_regular(path: Path, most: int) -> bytes:
    """Return the content of a file of at most `most` bytes.

    Raises what `open_regular` raises, and TooLarge.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    size = max(size, len(content))
    if size > most:
        raise TooLarge(errno.EFBIG, f"it has {size} bytes", str(path))
    return content
