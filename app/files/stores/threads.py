"""Local files, read and written by threads; a caller that is cancelled leaves nothing behind."""

import asyncio
import errno
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TypeVar

from app.files.stores import sharing
from app.files.stores.atomic import open_regular, put_in_place
from app.files.stores.temporary import open_part

T = TypeVar("T")

# Separate from the default threads, so that many downloads do not delay other work.
_threads = ThreadPoolExecutor(4, thread_name_prefix="files")


async def in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


class PartialFile:
    """A file being written by threads, next to its target; created by the first write.

    `discard` waits for a write in progress and prevents further ones.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._discarded = False

    def write(self, piece: bytes) -> None:
        with self._lock:
            self._opened().write(piece)

    def finish(self, piece: bytes) -> None:
        """Write the last chunk and rename the file to its target."""
        with self._lock, self._opened() as file:
            file.write(piece)
            put_in_place(file, self._target)

    def discard(self) -> None:
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
                sharing.remove_file(Path(self._file.name))

    def _opened(self) -> IO[bytes]:
        if self._discarded:
            raise ValueError("discarded")  # nobody awaits this write
        if self._file is None:
            folder = self._target.parent
            try:
                self._file = open_part(folder)
            except FileNotFoundError:
                folder.mkdir(parents=True, exist_ok=True)
                self._file = open_part(folder)
        return self._file


class Reader:
    """A file that is opened by the first read, in the same thread.

    If it were opened earlier, nobody would close it after a cancel. `close` waits for a read in
    progress. On Windows it is open during reads only: while a slow client reads, the file can be
    replaced and deleted. The next read raises OSError then, which ends that download.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._at = start
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._seen: tuple[int, int, int] | None = None  # inode, size and time of the file
        self._closed = False

    def read(self, size: int) -> bytes:
        with self._lock:
            if self._closed or (self._seen and self._at >= self._seen[1]):
                return b""  # at the end of the file it is not opened again
            if self._file is None:
                self._file = open_regular(self._path)
                if sharing.WINDOWS:
                    return self._read_once(self._file, size)
                self._file.seek(self._at)
            return self._file.read(size)

    def _read_once(self, file: IO[bytes], size: int) -> bytes:
        self._file = None
        with file:
            about = os.fstat(file.fileno())
            seen = (about.st_ino, about.st_size, about.st_mtime_ns)
            if self._seen not in (None, seen):
                raise OSError(errno.ESTALE, "It was replaced while it was read", str(self._path))
            self._seen = seen
            file.seek(self._at)
            piece = file.read(size)
        self._at += len(piece)
        return piece

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()
