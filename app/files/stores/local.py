"""Files in a local folder: written to a temporary file and renamed, read in chunks by threads."""

import asyncio
import errno
import logging
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from app.errors import FileNotFound, NoRoom, StorageFull, StorageUnavailable
from app.files.stores.atomic import NotRegular, open_regular
from app.files.stores.store import FileInfo, Stored
from app.files.stores.streams import Counted, pieces_of
from app.files.stores.temporary import SUFFIX, is_part, open_part, remove_left

log = logging.getLogger(__name__)

T = TypeVar("T")

PIECE = 256 << 10  # bytes per read or write; larger ones delay the event loop
TRIED = 64 << 10  # bytes written by check_room
# Separate from the default threads, so that many downloads do not delay other work.
_threads = ThreadPoolExecutor(4, thread_name_prefix="files")
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class LocalStore:
    """A FileStore in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """Return the path of a key.

        Raises FileNotFound for one that leads out of the folder, or through a link to itself.
        """
        try:
            path = (self.folder / key).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise FileNotFound(f"There is no file {key!r}.") from error
        if not path.is_relative_to(self.folder):
            raise FileNotFound(f"There is no file {key!r}.")
        return path

    async def save(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        target = self.path(key)
        counted = Counted(chunks, max_bytes=max_bytes)
        try:
            await _write(target, counted)
        except OSError as error:
            if error.errno in _FULL:
                raise StorageFull(f"There is no room left to store {target.name!r}.") from error
            raise _unavailable(error) from error
        return Stored(key, counted.size, counted.hash)

    async def check_room(self) -> None:
        await _in_thread(lambda: try_to_write(self.folder))

    async def stat(self, key: str) -> FileInfo:
        return await _in_thread(lambda: self._info(self.path(key)))

    async def look(self, key: str, most: int) -> tuple[FileInfo, bytes | None]:
        return await _in_thread(lambda: self._seen(self.path(key), most))

    async def exists(self, key: str) -> bool:
        return await _in_thread(lambda: self._is_file(self.path(key)))

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        reader = _Reader(self.path(key), start)
        try:
            left = end - start if end is not None else None
            while left is None or left > 0:
                size = PIECE if left is None else min(PIECE, left)
                piece = await _in_thread(partial(reader.read, size))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        except (FileNotFoundError, NotADirectoryError, NotRegular) as error:
            raise FileNotFound(f"There is no file {key!r}.") from error
        except OSError as error:
            raise _unavailable(error) from error
        finally:
            reader.close()

    @asynccontextmanager
    async def on_disk(self, key: str) -> AsyncIterator[Path]:
        path = self.path(key)
        if not await _in_thread(lambda: self._is_file(path)):
            raise FileNotFound(f"There is no file {key!r}.")
        yield path

    async def move(self, key: str, to: str) -> None:
        source, target = self.path(key), self.path(to)

        def work() -> None:
            if key.rpartition("/")[0] != to.rpartition("/")[0]:
                target.parent.mkdir(parents=True, exist_ok=True)
            source.replace(target)

        try:
            await _in_thread(work)
        except FileNotFoundError as error:
            raise FileNotFound(f"There is no file {key!r}.") from error
        except OSError as error:
            raise _unavailable(error) from error

    async def delete(self, key: str) -> None:
        await self.delete_all([key])

    async def delete_all(self, keys: Sequence[str]) -> None:
        try:
            await _in_thread(lambda: self._delete(keys))
        except OSError as error:
            raise _unavailable(error) from error

    def _delete(self, keys: Sequence[str]) -> None:
        for path in map(self.path, keys):
            if path == self.folder:
                raise FileNotFound("The store itself cannot be deleted.")
            _remove(path)

    async def remove_left(self, prefix: str = "") -> None:
        folder = self.path(prefix)
        await _in_thread(lambda: remove_left(folder))

    async def files(self, prefix: str = "") -> AsyncIterator[FileInfo]:
        for info in await _in_thread(lambda: self._below(self.path(prefix))):
            yield info

    def _below(self, folder: Path) -> list[FileInfo]:
        """Return the files below a folder, without following links to folders; unreadable ones are
        skipped."""
        found = []
        for where, _, names in os.walk(folder):
            for name in names:
                if not is_part(name):
                    with suppress(FileNotFound, StorageUnavailable):  # or removed concurrently
                        found.append(self._info(Path(where, name)))
        return found

    def _seen(self, path: Path, most: int) -> tuple[FileInfo, bytes | None]:
        info = self._info(path)
        if info.size_bytes > most:
            return info, None
        try:
            with open_regular(path) as file:
                content = file.read(most + 1)
        except OSError as error:
            raise FileNotFound(f"There is no file {info.key!r}.") from error
        # Replaced concurrently if the size differs
        return info, content if len(content) == info.size_bytes else None

    def _info(self, path: Path) -> FileInfo:
        key = path.relative_to(self.folder).as_posix()
        try:
            about = path.stat()
        except OSError as error:
            if error.errno in _NOT_THERE:
                raise FileNotFound(f"There is no file {key!r}.") from error
            raise _unavailable(error) from error
        if not stat.S_ISREG(about.st_mode):
            raise FileNotFound(f"There is no file {key!r}.")
        # The inode is included, since two files of equal size may have the same timestamp.
        etag = f"{about.st_mtime_ns:x}-{about.st_size:x}-{about.st_ino:x}"
        return FileInfo(key, about.st_size, etag, about.st_mtime)

    def _is_file(self, path: Path) -> bool:
        try:
            self._info(path)
        except FileNotFound:
            return False
        return True


def _unavailable(error: OSError) -> StorageUnavailable:
    """Return the error; the OSError is only logged, as it names local folders."""
    log.error("files cannot be stored or read: %s", error)
    return StorageUnavailable(
        f"The folder of files cannot be used at the moment: {error.strerror}.",
        hint="The gateway's log names the folder.",
    )


def try_to_write(folder: Path) -> None:
    """Raise NoRoom if the folder is full, read-only or missing."""
    try:
        found = os.statvfs(folder)
        if found.f_bavail * found.f_frsize < TRIED or (found.f_files and not found.f_favail):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".room-", suffix=SUFFIX) as file:
            file.write(bytes(TRIED))
    except OSError as error:
        raise NoRoom(
            f"nothing can be written ({error.strerror or type(error).__name__}).",
            hint="Make room on its disk, or make it writable.",
        ) from error


async def _write(target: Path, chunks: AsyncIterable[bytes]) -> None:
    """Write a temporary file and rename it; delete it after an error."""
    part, held = _Part(target), b""
    try:
        # One chunk behind, so that a small file is written and renamed in one call.
        async for piece in pieces_of(chunks, PIECE):
            if held:
                await _in_thread(partial(part.write, held))
            held = piece
        await _in_thread(partial(part.finish, held))
    except BaseException:
        part.discard()
        raise


async def _in_thread(work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(_threads, work)


class _Part:
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
            file.flush()
            path = Path(file.name)
            path.chmod(0o644)  # temporary files are readable for their owner only
            path.replace(self._target)

    def discard(self) -> None:
        with self._lock:
            self._discarded = True
            if self._file is not None:
                self._file.close()
                _remove(Path(self._file.name))

    def _opened(self) -> IO[bytes]:
        if self._discarded:
            raise ValueError("discarded")  # nobody awaits this write
        if self._file is None:
            folder = self._target.parent
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open_part(folder)
        return self._file


class _Reader:
    """A file that is opened by the first read, in the same thread.

    If it were opened earlier, nobody would close it after a cancel. `close` waits for a read in
    progress.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._path = path
        self._start = start
        self._lock = threading.Lock()
        self._file: IO[bytes] | None = None
        self._closed = False

    def read(self, size: int) -> bytes:
        with self._lock:
            if self._closed:
                return b""
            if self._file is None:
                self._file = open_regular(self._path)
                self._file.seek(self._start)
            return self._file.read(size)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._file is not None:
                self._file.close()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
