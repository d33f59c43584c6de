"""The former contents of workflow files, in workflows/.versions/<name>/."""

import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from blake3 import blake3

from app.errors import VersionNotFound
from app.files.stores.atomic import NotRegular, read_regular, write_atomically
from app.files.stores.disk_names import fold
from app.files.stores.sharing import remove_file
from app.workflows.saved.names import SUFFIX

MAX_BYTES = 64 << 20  # minimum limit for the size of a file that is read
MAX_VERSIONS = 50  # per file; the oldest is deleted beyond that

STAMP = "%Y%m%dT%H%M%S%fZ"
_ID = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Version:
    """A former content; the id starts with the time of the replacement."""

    id: str
    saved_at: float  # Unix timestamp
    size_bytes: int


def version_of(content: bytes) -> str:
    """Return the version of a content: the first 32 hexadecimal digits of its BLAKE3 hash."""
    return blake3(content).hexdigest()[:32]


def named(folder: Path, name: str) -> Path:
    """Return the entry of the folder with this name in any case, or the path for a new one."""
    present = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    same = [name] if name in present else sorted(n for n in present if fold(n) == fold(name))
    return folder / (same[0] if same else name)


class Versions:
    """The versions of all files. Not thread-safe: the library holds its lock during writes.

    `max_bytes`: limit for saved workflows; other programs may put larger files into the folder.
    """

    def __init__(self, folder: Path, *, max_bytes: int = 0) -> None:
        self._folder = folder
        self.most = max(MAX_BYTES, max_bytes)  # maximum bytes of a kept file

    def keep(self, path: Path) -> None:
        """Keep the current content of the file. Raises OSError."""
        content, saved_at = read_regular(path, self.most), path.stat().st_mtime
        folder = named(self._folder, path.name)
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{self._stamp(path.name)}-{version_of(content)[:12]}{SUFFIX}"
        write_atomically(kept, content)
        os.utime(kept, (saved_at, saved_at))
        for old in self._paths(path.name)[MAX_VERSIONS:]:
            remove_file(old)

    def _stamp(self, name: str) -> str:
        """Return the time for an id: now, or behind the newest version if the clock stood still."""
        now = datetime.fromtimestamp(time.time(), UTC)
        for newest in self._paths(name)[:1]:
            with suppress(ValueError, OverflowError):  # not one of ours
                last = datetime.strptime(newest.stem[:22], STAMP).replace(tzinfo=UTC)
                now = max(now, last + timedelta(microseconds=1))
        return now.strftime(STAMP)

    def of(self, name: str) -> list[Version]:
        """Return the versions of a file, newest first."""
        found = []
        for path in self._paths(name):
            with suppress(OSError):  # the oldest may be deleted concurrently
                about = path.stat()
                if path.is_file():
                    found.append(Version(path.stem, about.st_mtime, about.st_size))
        return found

    def read(self, name: str, version: str) -> tuple[str, bytes]:
        """Return the file's name at that time and the content. Raises VersionNotFound."""
        folder = named(self._folder, name)
        path = folder / f"{version}{SUFFIX}"
        try:
            if _ID.fullmatch(version):
                return folder.name, read_regular(path, self.most)
        except (FileNotFoundError, NotADirectoryError, NotRegular):
            pass
        raise VersionNotFound(
            f"{name!r} has no version {version[:80]!r}.",
            hint=f"GET /api/workflow/{quote(name)}/versions lists them.",
        )

    def _paths(self, name: str) -> list[Path]:
        folder = named(self._folder, name)
        if not folder.is_dir():
            return []
        found = [path for path in folder.iterdir() if _ID.fullmatch(path.stem)]
        return sorted(found, key=lambda path: path.name, reverse=True)
