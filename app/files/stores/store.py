"""The interface of file stores: files by key in a local folder or a bucket."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]")
MAX_NAME = 180  # bytes; file systems allow 255, and names get additions


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was just written; `hash` is "blake3:<hex>"."""

    key: str
    size_bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """An existing file; `modified_at` is a Unix timestamp.

    `etag` changes with the content, and has no quotes.
    """

    key: str
    size_bytes: int
    etag: str
    modified_at: float


class FileStore(Protocol):
    """Files by key, such as "<task_id>/<name>"; keys never lead out of the store.

    All methods of a bucket raise StorageUnavailable if it cannot be used.
    """

    async def save(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        """Write a stream to the key atomically, replacing an existing file.

        Raises PayloadTooLarge beyond `max_bytes`, and StorageFull.
        """
        ...

    async def check_room(self) -> None:
        """Check that a small file can be written. Raises NoRoom."""
        ...

    async def stat(self, key: str) -> FileInfo:
        """Return a file's metadata. Raises FileNotFound."""
        ...

    async def look(self, key: str, most: int) -> tuple[FileInfo, bytes | None]:
        """Return `stat`, and the content if it has at most `most` bytes and is cheap to get.

        That saves a second access to a local disk.
        """
        ...

    async def exists(self, key: str) -> bool: ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """Yield the bytes from `start` up to, not including, `end`. Raises FileNotFound."""
        ...

    def on_disk(self, key: str) -> AbstractAsyncContextManager[Path]:
        """Yield a path to read the file from. Raises FileNotFound."""
        ...

    async def move(self, key: str, to: str) -> None:
        """Rename a file, replacing an existing one. Raises FileNotFound."""
        ...

    async def delete(self, key: str) -> None:
        """Delete a file, or all files below a folder's key; a missing one is no error."""
        ...

    async def delete_all(self, keys: Sequence[str]) -> None:
        """Delete several keys like `delete`."""
        ...

    async def remove_left(self, prefix: str = "") -> None:
        """Delete incomplete files below a folder's key whose writer was killed."""
        ...

    def files(self, prefix: str = "") -> AsyncIterator[FileInfo]:
        """Yield all files below a folder's key, unordered."""
        ...


def safe_name(filename: str) -> str:
    """Return a plain file name, without folders and special characters."""
    plain = filename.encode(errors="replace").decode()  # replaces lone surrogates
    name = _UNSAFE.sub("_", plain.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .") or "file"
    return _shortened(name)


def numbered(name: str, number: int) -> str:
    """Insert " (1)" and so on before the suffix, as ComfyUI does; unchanged for 0.

    The result is safe if the name is: the stem is truncated if necessary.
    """
    return _shortened(name, f" ({number})") if number else name


def is_plain(name: str) -> bool:
    """Return whether it can be a file name here.

    That is one that `safe_name` returns, now or in earlier versions, whose limit was a few bytes
    higher.
    """
    size = len(name.encode(errors="replace"))
    return name == safe_name(name) if size <= MAX_NAME else size < 255 and not _UNSAFE.search(name)


def _shortened(name: str, before_suffix: str = "") -> str:
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 12:
        stem, suffix = name, ""
    ending = f"{before_suffix}.{suffix}" if suffix else before_suffix
    room = MAX_NAME - len(ending.encode())
    if len(stem.encode()) > room:
        stem = stem.encode()[:room].decode(errors="ignore").rstrip(" .") or "file"
    return f"{stem}{ending}"


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Yield the bytes, as the stream that `save` expects."""
    yield content
