"""Files in a local folder: written to a temporary file and renamed, read in chunks by threads."""

import errno
import logging
import os
import shutil
import stat
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from app.errors import FileNotFound, NoRoom, StorageFull, StorageUnavailable
from app.files.stores import sharing
from app.files.stores.atomic import NotRegular, open_handle
from app.files.stores.disk_names import key_of
from app.files.stores.sharing import (
    disk_name,
    long_path,
    patiently,
    remove_file,
    remove_folder,
)
from app.files.stores.store import FileInfo, Stored
from app.files.stores.streams import Counted, pieces_of
from app.files.stores.temporary import FULL, is_part, open_part, remove_left
from app.files.stores.threads import PartialFile, Reader, in_thread

log = logging.getLogger(__name__)

PIECE = 256 << 10  # bytes per read or write; larger ones delay the event loop
TRIED = 64 << 10  # bytes written by check_room
MAX_UNDELETED = 1000  # files that are tried again; others stay
_NOT_THERE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
_RELATIVE = frozenset({"", ".", ".."})
_UNUSUAL = frozenset("\\:\0")  # separators of Windows, and what no path has


class LocalStore:
    """A FileStore in one folder.

    On Windows names that it cannot hold are stored encoded (`stored_key`), and what cannot be
    deleted, as another program has it open, is tried again by `remove_left`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = long_path(folder.resolve())
        self.folder.mkdir(parents=True, exist_ok=True)
        self._root = str(self.folder)
        self._undeleted: set[Path] = set()

    def path(self, key: str) -> Path:
        """Return the path of a key.

        Raises FileNotFound for one that leads out of the folder, or through a link to itself.
        """
        return Path(self._place(key))

    def _place(self, key: str) -> str:
        """Return the path of a key, like `path`."""
        try:
            stored = disk_name(key)
            if (plain := _plain_path(self._root, stored)) is not None:
                return plain
            path = (self.folder / stored).resolve()
        except (OSError, RuntimeError, ValueError) as error:
            raise FileNotFound(f"There is no file {key!r}.") from error
        # What resolves to a link leads to itself; Python 3.13 and newer raise nothing for that.
        # `is_symlink` raises OSError for names that are too long.
        is_link = os.path.islink(path)  # noqa: PTH114
        if is_link or not path.is_relative_to(self.folder):
            raise FileNotFound(f"There is no file {key!r}.")
        return str(path)

    async def save(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        target = self.path(key)
        self._undeleted.discard(target)
        counted = Counted(chunks, max_bytes=max_bytes)
        try:
            await _write(target, counted)
        except OSError as error:
            if error.errno in FULL:
                raise StorageFull(f"There is no room left to store {target.name!r}.") from error
            raise _unavailable(error) from error
        return Stored(key, counted.size, counted.hash)

    async def check_room(self) -> None:
        await in_thread(lambda: try_to_write(self.folder))

    async def stat(self, key: str) -> FileInfo:
        return await in_thread(lambda: self._info(_as_it_is_called(self.path(key))))

    async def look(self, key: str, most: int) -> tuple[FileInfo, bytes | None]:
        return await in_thread(lambda: self._seen(self._place(key), most))

    async def exists(self, key: str) -> bool:
        return await in_thread(lambda: self._is_file(self.path(key)))

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        reader = Reader(self.path(key), start)
        try:
            left = end - start if end is not None else None
            while left is None or left > 0:
                size = PIECE if left is None else min(PIECE, left)
                piece = await in_thread(partial(reader.read, size))
                if not piece:
                    return
                left = None if left is None else left - len(piece)
                yield piece
        except OSError as error:
            raise _failed(key, error) from error
        finally:
            reader.close()

    @asynccontextmanager
    async def on_disk(self, key: str) -> AsyncIterator[Path]:
        path = self.path(key)
        await in_thread(lambda: self._info(path))
        yield path

    async def move(self, key: str, to: str) -> None:
        source, target = self.path(key), self.path(to)

        def work() -> None:
            if key.rpartition("/")[0] != to.rpartition("/")[0]:
                target.parent.mkdir(parents=True, exist_ok=True)
            self._undeleted.discard(target)
            patiently(lambda: source.replace(target))

        try:
            await in_thread(work)
        except FileNotFoundError as error:
            raise FileNotFound(f"There is no file {key!r}.") from error
        except OSError as error:
            raise _unavailable(error) from error

    async def delete(self, key: str) -> None:
        await self.delete_all([key])

    async def delete_all(self, keys: Sequence[str]) -> None:
        try:
            await in_thread(lambda: self._delete(keys))
        except OSError as error:
            raise _unavailable(error) from error

    def _delete(self, keys: Sequence[str]) -> None:
        failed: OSError | None = None
        for path in map(self.path, keys):
            if path == self.folder:
                raise FileNotFound("The store itself cannot be deleted.")
            try:
                _remove(path)
            except OSError as error:
                if error.errno in _NOT_THERE:
                    continue
                failed = error
                if sharing.WINDOWS and len(self._undeleted) < MAX_UNDELETED:
                    self._undeleted.add(path)
        if failed is not None:
            raise failed

    async def remove_left(self, prefix: str = "") -> None:
        folder = self.path(prefix)
        await in_thread(lambda: remove_left(folder))
        await in_thread(self._delete_later)

    def _delete_later(self) -> None:
        """Delete what could not be deleted when it should be."""
        for path in list(self._undeleted):
            with suppress(OSError):
                _remove(path)
                self._undeleted.discard(path)

    async def files(self, prefix: str = "") -> AsyncIterator[FileInfo]:
        for info in await in_thread(lambda: self._below(self.path(prefix))):
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

    def _seen(self, path: str, most: int) -> tuple[FileInfo, bytes | None]:
        """Return the file and its content, of one look at it, if it has at most `most` bytes."""
        try:
            handle = open_handle(path)
        except OSError as error:
            info = self._info(Path(path))  # raises what is told of a file that is not there
            raise FileNotFound(f"There is no file {info.key!r}.") from error
        try:
            info = self._told(path, os.fstat(handle))
            content = os.read(handle, info.size_bytes + 1) if info.size_bytes <= most else None
        except OSError as error:
            raise FileNotFound(f"There is no file {self._key(path)!r}.") from error
        finally:
            os.close(handle)
        # It is written to, or came in parts, if the size differs
        return info, content if content is not None and len(content) == info.size_bytes else None

    def _info(self, path: Path) -> FileInfo:
        try:
            about = path.stat()
        except OSError as error:
            raise _failed(self._key(str(path)), error) from error
        if not stat.S_ISREG(about.st_mode):
            raise FileNotFound(f"There is no file {self._key(str(path))!r}.")
        return self._told(str(path), about)

    def _told(self, path: str, about: os.stat_result) -> FileInfo:
        # The inode is included, since two files of equal size may have the same timestamp.
        etag = f"{about.st_mtime_ns:x}-{about.st_size:x}-{about.st_ino:x}"
        return FileInfo(self._key(path), about.st_size, etag, about.st_mtime)

    def _key(self, path: str) -> str:
        stored = path[len(self._root) + 1 :].replace(os.sep, "/")
        return key_of(stored) if sharing.WINDOWS else stored

    def _is_file(self, path: Path) -> bool:
        try:
            self._info(path)
        except FileNotFound:
            return False
        return True


def _failed(key: str, error: OSError) -> FileNotFound | StorageUnavailable:
    if isinstance(error, NotRegular) or error.errno in _NOT_THERE:
        return FileNotFound(f"There is no file {key!r}.")
    return _unavailable(error)


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
        if shutil.disk_usage(folder).free < TRIED:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file = open_part(folder)
        try:
            with file:
                file.write(bytes(TRIED))
        finally:
            remove_file(Path(file.name))
    except OSError as error:
        raise NoRoom(
            f"nothing can be written ({error.strerror or type(error).__name__}).",
            hint="Make room on its disk, or make it writable.",
        ) from error


def _plain_path(root: str, key: str) -> str | None:
    """Return the path if it is the key itself: each part of it a name, and none a link.

    Raises ValueError for a NUL. To resolve a path would look at each part of the root, too.
    """
    parts = key.split("/")
    if not (_RELATIVE.isdisjoint(parts) and _UNUSUAL.isdisjoint(key)):
        return None
    path = root
    for part in parts:
        path = f"{path}{os.sep}{part}"
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return None
        except OSError:
            break  # nothing is there, and nothing below it
    return f"{root}{os.sep}{key.replace('/', os.sep)}"


def _as_it_is_called(path: Path) -> Path:
    """Return the path in the case in which it was made, where a file has it in any case."""
    return Path(os.path.realpath(path)) if sharing.WINDOWS else path


async def _write(target: Path, chunks: AsyncIterable[bytes]) -> None:
    """Write a temporary file and rename it; delete it after an error."""
    part, held = PartialFile(target), b""
    try:
        # One chunk behind, so that a small file is written and renamed in one call.
        async for piece in pieces_of(chunks, PIECE):
            if held:
                await in_thread(partial(part.write, held))
            held = piece
        await in_thread(partial(part.finish, held))
    except BaseException:
        part.discard()
        raise


def _remove(path: Path) -> None:
    if path.is_dir():
        remove_folder(path)
    else:
        remove_file(path)
