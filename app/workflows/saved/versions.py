"""The former contents of workflow files, in workflows/.versions/<name>/."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from blake3 import blake3

from app.errors import VersionNotFound
from app.files.stores.atomic import NotRegular, read_regular, write_atomically
from app.workflows.saved.names import SUFFIX, fold

MAX_BYTES = 64 << 20  # of a file that is read, unless workflows may have more
MAX_VERSIONS = 50  # versions of a file; the oldest goes when there are more

_ID = re.compile(r"[0-9]{8}T[0-9]{12}Z-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class Version:
    """A former content. The id begins with the time when it was replaced."""

    id: str
    saved_at: float  # seconds since the epoch
    size_bytes: int


def version_of(content: bytes) -> str:
    """What tells one content of a file from another."""
    return blake3(content).hexdigest()[:32]


def named(folder: Path, name: str) -> Path:
    """The entry of the folder with this name in whatever case, or where it would be."""
    present = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    same = [name] if name in present else sorted(n for n in present if fold(n) == fold(name))
    return folder / (same[0] if same else name)


class Versions:
    """Not safe for several threads: the library holds its lock around each call that writes.
    `max_bytes`: what a file may have that is saved; others put larger ones into the folder."""

    def __init__(self, folder: Path, *, max_bytes: int = 0) -> None:
        self._folder = folder
        self.most = max(MAX_BYTES, max_bytes)  # bytes of a file that can be kept

    def keep(self, path: Path) -> None:
        """Keep what the file holds now, for good. Raises OSError."""
        content, saved_at = read_regular(path, self.most), path.stat().st_mtime
        folder = named(self._folder, path.name)
        folder.mkdir(parents=True, exist_ok=True)
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
        kept = folder / f"{now}-{version_of(content)[:12]}{SUFFIX}"
        write_atomically(kept, content)
        os.utime(kept, (saved_at, saved_at))
        for old in self._paths(path.name)[MAX_VERSIONS:]:
            old.unlink(missing_ok=True)

    def of(self, name: str) -> list[Version]:
        """The versions of a file, newest first."""
        found = []
        for path in self._paths(name):
            with suppress(OSError):  # the oldest, which has just made room
                about = path.stat()
                if path.is_file():
                    found.append(Version(path.stem, about.st_mtime, about.st_size))
        return found

    def read(self, name: str, version: str) -> tuple[str, bytes]:
        """The file's name as it was, and the content. Raises VersionNotFound."""
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
