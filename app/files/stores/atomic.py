"""Files on a disk that others change, too: written so that readers see the old one or the new one,
never half of it, and read only where they are files."""

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

from app.files.stores.temporary import open_part

SHARED_MODE = 0o644  # readable by other users of the machine


def write_atomically(
    path: Path, content: bytes, mode: int = SHARED_MODE, *, durable: bool = False
) -> None:
    """Write beside the target, then rename. `durable`: on the disk before that, so that it is
    whole after a power cut, too. Raises OSError; leaves nothing behind then."""
    file = open_part(path.parent)
    partial = Path(file.name)
    try:
        with file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
            partial.chmod(mode)  # it was made for its owner alone
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


class NotRegular(OSError):
    """It is there, but no file: a folder, a pipe, a socket, a device, a link to itself."""


class TooLarge(OSError):
    """It is larger than what is read."""


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError, and NotRegular for what is no file: to open a pipe
    waits for whoever writes into it, and a device may never end."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ELOOP, errno.EISDIR):  # a socket, a loop
            raise NotRegular(error.errno, "it is no regular file", str(path)) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise NotRegular(errno.EINVAL, "it is no regular file", str(path))
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def read_regular(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes. Raises OSError as `open_regular` does, and
    TooLarge."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(most + 1) if size <= most else b""
    size = max(size, len(content))
    if size > most:
        raise TooLarge(errno.EFBIG, f"it has {size} bytes", str(path))
    return content
