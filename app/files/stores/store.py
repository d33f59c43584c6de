"""Where results are kept, by key. One interface; a local folder or a bucket stands behind it."""

import re
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]")
MAX_NAME = 180  # bytes; file systems allow 255, and we add to it


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that was just written. `hash` is "blake3:<hex>"."""

    key: str
    size_bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file that is there. `etag` changes with its content; it has no quotes. `modified_at`:
    seconds since the epoch."""

    key: str
    size_bytes: int
    etag: str
    modified_at: float


class FileStore(Protocol):
    """Files by key, such as "<task_id>/<name>". Keys never lead out of the store.

    A bucket that cannot be used raises StorageUnavailable from every method.
    """

    async def save(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        """Write a stream under the key, replacing what is there, whole or not at all.

        Raises PayloadTooLarge beyond `max_bytes`, StorageFull when the disk is full.
        """
        ...

    async def check_room(self) -> None:
        """Try to write a little, under no key. Raises NoRoom where that cannot be."""
        ...

    async def stat(self, key: str) -> FileInfo:
        """Raises FileNotFound."""
        ...

    async def look(self, key: str, most: int) -> tuple[FileInfo, bytes | None]:
        """The same, with the content of a file of at most so many bytes, if it is at hand: one
        way to a local disk instead of two."""
        ...

    async def exists(self, key: str) -> bool: ...

    def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes from `start` up to, not including, `end`. Raises FileNotFound."""
        ...

    def on_disk(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A path to read the file from while the context lasts. Raises FileNotFound."""
        ...

    async def move(self, key: str, to: str) -> None:
        """Give a file another key, replacing what is there. Raises FileNotFound."""
        ...

    async def delete(self, key: str) -> None:
        """Remove a file, or all files under a folder's key. A missing one is no error."""
        ...

    async def delete_all(self, keys: Sequence[str]) -> None:
        """The same for each of these."""
        ...

    async def remove_left(self, prefix: str = "") -> None:
        """Remove what was being written under a folder's key when its writer was killed. What
        somebody writes now stays."""
        ...

    def files(self, prefix: str = "") -> AsyncIterator[FileInfo]:
        """All files under a folder's key, in no order."""
        ...


def safe_name(filename: str) -> str:
    """A plain file name: folders cut off, characters that file systems mind replaced."""
    plain = filename.encode(errors="replace").decode()  # half characters
    name = _UNSAFE.sub("_", plain.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .") or "file"
    return _shortened(name)


def numbered(name: str, number: int) -> str:
    """The name with " (1)" and so on in front of its suffix, as ComfyUI does; as it is for 0. Safe
    if the name is: where there is no room left, the stem gives way."""
    return _shortened(name, f" ({number})") if number else name


def is_plain(name: str) -> bool:
    """Whether it can be the name of a file here: of one that was named by `safe_name`, now or by
    former rules, which left room for a few bytes more."""
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
    """Bytes that are at hand, as the stream that `save` takes."""
    yield content
