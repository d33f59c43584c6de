"""Where results and uploads are kept: a local folder, written atomically, read by path."""

import asyncio
import errno
import re
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from blake3 import blake3

from app.errors import FileNotFound, PayloadTooLarge, StorageFull

_UNSAFE = re.compile(r"[\x00-\x1f\x7f/\\:*?\"<>|]")
MAX_NAME = 180  # bytes; file systems allow 255, and we add to it


@dataclass(frozen=True, slots=True)
class Stored:
    """A file that is in the store. `hash` is "blake3:<hex>"."""

    key: str
    size_bytes: int
    hash: str


def safe_name(filename: str) -> str:
    """A plain file name: folders cut off, characters that file systems mind replaced."""
    name = _UNSAFE.sub("_", filename.replace("\\", "/").rsplit("/", 1)[-1]).strip(" .") or "file"
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix) > 12:
        stem, suffix = name, ""
    room = MAX_NAME - len(suffix.encode()) - 1
    stem = stem.encode()[:room].decode(errors="ignore")
    return f"{stem}.{suffix}" if suffix else stem


class FileStore:
    """Files under one folder by key, such as "<task_id>/<name>". Keys never leave the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.folder.mkdir(parents=True, exist_ok=True)

    def path(self, key: str) -> Path:
        """The local path of a key. Raises FileNotFound for a key that leads out of the folder."""
        path = (self.folder / key).resolve()
        if not path.is_relative_to(self.folder):
            raise FileNotFound(f"There is no file {key!r}.")
        return path

    def exists(self, key: str) -> bool:
        return self.path(key).is_file()

    async def save(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        """Write a stream under the key, replacing what is there, whole or not at all.

        Raises PayloadTooLarge beyond `max_bytes`, StorageFull when the disk is full.
        """
        target = self.path(key)
        partial = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            file = tempfile.NamedTemporaryFile(  # noqa: SIM115 (renamed below, not closed here)
                dir=target.parent, prefix=".", suffix=".part", delete=False
            )
            partial = Path(file.name)
            with file:
                size, digest = await _copy(chunks, file, max_bytes)
            partial.chmod(0o644)
            partial.replace(target)
            partial = None
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise StorageFull(f"There is no room left to store {target.name!r}.") from error
            raise
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)
        return Stored(key, size, f"blake3:{digest}")

    async def delete(self, key: str) -> None:
        """Remove a file, or all files under a folder's key. A missing one is no error."""
        path = self.path(key)
        if path == self.folder:
            raise FileNotFound("The store itself cannot be deleted.")
        await asyncio.to_thread(_remove, path)


async def once(content: bytes) -> AsyncIterator[bytes]:
    """Bytes that are at hand, as the stream that `save` takes."""
    yield content


async def _copy(
    chunks: AsyncIterator[bytes], file: IO[bytes], max_bytes: int | None
) -> tuple[int, str]:
    size, digest = 0, blake3()
    async for chunk in chunks:
        size += len(chunk)
        if max_bytes is not None and size > max_bytes:
            raise PayloadTooLarge(
                f"The file is larger than the {max_bytes} bytes that are allowed.",
                hint="The limit is the setting COMFYUI_MAX_UPLOAD_BYTES.",
            )
        digest.update(chunk)
        await asyncio.to_thread(file.write, chunk)
    await asyncio.to_thread(file.flush)
    return size, digest.hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
