"""A ZIP archive as a stream, never as a whole in memory or on disk.

Entries are not compressed, as media files are compressed already.
"""

import io
import time
import zipfile
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

from app.errors import FileNotFound
from app.files.stores.disk_names import fold, is_device
from app.files.stores.store import FileStore, numbered, safe_name

MISSING = "MISSING.txt"


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """An entry: a key in the store, a text, or (neither) a missing file."""

    name: str
    key: str | None = None
    text: str | None = None
    reason: str | None = None  # why the file is missing


async def archived(files: FileStore, entries: Iterable[ArchiveEntry]) -> AsyncIterator[bytes]:
    """Yield the archive in pieces. Missing files are listed in MISSING.txt."""
    sink, missing = _Sink(), []
    names = _Names({MISSING})
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for entry in entries:
            if entry.text is not None:
                archive.writestr(_info(names.unique(entry.name)), entry.text)
            elif (size := await _size_of(files, entry)) is None:
                missing.append(f"{entry.name}: {entry.reason or 'The file is gone.'}\n")
            else:
                info = _info(names.unique(entry.name))
                info.file_size = size  # tells zipfile whether ZIP64 is needed
                with archive.open(info, "w") as file:
                    async for piece in files.read(entry.key or ""):
                        file.write(piece)
                        yield sink.take()
            yield sink.take()
        if missing:
            archive.writestr(_info(MISSING), "".join(missing))
    yield sink.take()


async def _size_of(files: FileStore, entry: ArchiveEntry) -> int | None:
    try:
        return (await files.stat(entry.key)).size_bytes if entry.key else None
    except FileNotFound:
        return None


class _Sink(io.RawIOBase):
    """Buffers what zipfile writes until it is sent. Not seekable, so sizes follow the data."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        self._pieces.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


class _Names:
    """Unique names for one folder, safe on every system, compared without case."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = set(map(fold, taken))
        self._numbers: dict[str, int] = {}  # the last number used for a name

    def unique(self, wanted: str) -> str:
        plain = safe_name(wanted)
        if is_device(plain):
            plain = safe_name(f"_{plain}")
        name, number = plain, self._numbers.get(fold(plain), 1)
        while fold(name) in self._taken:
            number += 1
            name = numbered(plain, number)
        self._numbers[fold(plain)] = number
        self._taken.add(fold(name))
        return name


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, time.localtime()[:6])
    info.external_attr = 0o644 << 16
    return info
