"""The workflow files in workflows/; only this module and versions.py do I/O in app/workflows."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Any

from filelock import FileLock

from app.comfyui.cleaning import is_sound
from app.errors import (
    InvalidJson,
    InvalidRequest,
    InvalidWorkflow,
    PreconditionFailed,
    WorkflowExists,
    WorkflowFormatUnsupported,
    WorkflowNotFound,
)
from app.files.stores.atomic import NotRegular, TooLarge, read_regular, write_atomically
from app.files.stores.sharing import long_path, remove_file
from app.limits.lru_cache import BoundedCache
from app.workflows.formats import Format, unwrap
from app.workflows.json_text import parse_leniently
from app.workflows.saved.errors import reading, storing
from app.workflows.saved.names import SUFFIX, checked_name
from app.workflows.saved.versions import Version, Versions, named, version_of

State = tuple[int, int, int]  # mtime in ns, size and inode of a file
LARGEST = 8 << 20  # maximum bytes of a file that is read
MOST_KNOWN = 20_000  # files whose format is cached
SET_OUT = 250_000  # maximum characters of a file that is indented
LOCK_POLL = 0.01  # seconds between two attempts to lock the folder
LOCK_WAIT = 30.0  # seconds; on Windows it looks locked, too, if nothing may be written there
READ_AT_ONCE = 256 << 20  # bytes of files that one listing reads

Change = Callable[[str, Any], Any]
Check = Callable[[str], bool]  # predicate on a file's version


@dataclass(frozen=True, slots=True)
class LibraryEntry:
    """A workflow file; `format` is None if the file is no valid workflow."""

    filename: str
    format: Format | None
    size_bytes: int
    modified_at: float  # Unix timestamp


@dataclass(frozen=True, slots=True)
class Saved:
    """A workflow file with its JSON; `version` changes whenever the content does."""

    filename: str
    workflow: Any
    version: str


class Library:
    """The folder of saved workflows.

    Files are written atomically, and replaced contents are kept as versions. Names that differ only
    in case or Unicode form are equal.
    """

    def __init__(self, folder: Path, *, max_bytes: int = LARGEST) -> None:
        self.folder = long_path(folder)
        self._max_bytes = max_bytes
        self._formats: BoundedCache[str, tuple[State, Format | None]] = BoundedCache(MOST_KNOWN)
        self._versions = Versions(self.folder / ".versions", max_bytes=max_bytes)
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)

    def list(self) -> list[LibraryEntry]:
        """List the files by name, without names that are not UTF-8. Raises StorageUnavailable.

        A file is read if it has changed since the last listing. Beyond READ_AT_ONCE bytes the
        format is left None until the next listing.
        """
        with reading(), os.scandir(self.folder) as entries:
            names = sorted(one.name for one in entries if _is_listed(one.name))
        found, left = [], READ_AT_ONCE
        for name in names:
            with suppress(OSError):  # deleted just now, or a dangling link
                path = self.folder / name
                stat = path.stat()
                if not S_ISREG(stat.st_mode):
                    continue
                kind, read = self._format(path, stat, left)
                left -= read
                found.append(LibraryEntry(name, kind, stat.st_size, stat.st_mtime))
        return found

    def _format(self, path: Path, stat: os.stat_result, most: int) -> tuple[Format | None, int]:
        """Return the format of a file, and the bytes read for it, at most `most`."""
        state = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        known = self._formats.get(path.name)
        if known is not None and known[0] == state:
            return known[1], 0
        kind, read = None, 0
        if stat.st_size <= self._max_bytes:  # larger files are no workflows
            if stat.st_size > most:
                return None, 0
            kind, read = _format_of(path, self._max_bytes), stat.st_size
        self._formats.put(path.name, (state, kind))
        return kind, read

    def open(self, filename: str) -> Saved:
        """Read a file. Raises WorkflowNotFound, InvalidJson and StorageUnavailable."""
        path, content = self._existing(filename)
        return Saved(path.name, _parsed(path.name, content), version_of(content))

    def read(self, filename: str) -> tuple[str, Any]:
        """Return the file's name and JSON. Raises what `open` raises."""
        saved = self.open(filename)
        return saved.filename, saved.workflow

    def save(self, filename: str, workflow: Any, *, overwrite: bool) -> Saved:
        """Save a workflow. Raises WorkflowExists and StorageFull."""
        with self._writing():
            path = self._path(filename)
            if not overwrite and self._is_there(path):
                raise WorkflowExists(
                    f"There is a workflow {path.name!r} already.",
                    hint="Choose another name, or pass overwrite=true.",
                )
            return self._write(path, _text(workflow, self._max_bytes), workflow)

    def change(self, filename: str, change: Change, matches: Check | None = None) -> Saved:
        """Save what `change(name, workflow)` returns for a file, under the lock.

        Raises WorkflowNotFound, PreconditionFailed if the current version does not match, and what
        `change` raises.
        """
        with self._writing():
            path, content = self._existing(filename)
            _check(path.name, content, matches)
            changed = change(path.name, _parsed(path.name, content))
            return self._write(path, _text(changed, self._max_bytes), changed)

    def delete(self, filename: str, matches: Check | None = None) -> None:
        """Delete a file; its content stays as a version. Raises what `change` raises."""
        with self._writing():
            path, content = self._existing(filename)
            _check(path.name, content, matches)
            with storing():
                self._versions.keep(path)
                remove_file(path)

    def versions(self, filename: str) -> Sequence[Version]:
        """Return the former contents, newest first; also of a deleted file. Raises
        WorkflowNotFound."""
        with reading():
            found = self._versions.of(checked_name(filename))
        if not found:
            self._existing(filename)
        return found

    def version(self, filename: str, version: str) -> Saved:
        """Return a former content. Raises VersionNotFound and InvalidJson."""
        name, content = self._version(filename, version)
        return Saved(name, _parsed(name, content), version_of(content))

    def restore(self, filename: str, version: str) -> Saved:
        """Restore a former content. Raises what `version` and `save` raise."""
        with self._writing():
            name, content = self._version(filename, version)
            workflow = _parsed(name, content)
            unwrap(workflow)
            path = self._path(filename)
            return self._write(
                path if self._is_there(path) else self.folder / name, content, workflow
            )

    def _version(self, filename: str, version: str) -> tuple[str, bytes]:
        """Return the name at that time, and a former content."""
        name = checked_name(filename)
        with reading(), _limited(name, self._versions.most):
            return self._versions.read(name, version)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Hold the lock for writing, also across processes that share the folder."""
        with self._lock, ExitStack() as stack:
            with storing():
                self.folder.stat()  # FileLock would create the folder; a missing volume is an error
                stack.enter_context(
                    FileLock(self.folder / ".lock", timeout=LOCK_WAIT, poll_interval=LOCK_POLL)
                )
            yield

    def _write(self, path: Path, content: bytes, workflow: Any) -> Saved:
        with storing():
            if not path.exists():
                write_atomically(path, content)
            elif _content(path, self._versions.most) != content:
                self._versions.keep(path)
                write_atomically(path, content)
        return Saved(path.name, workflow, version_of(content))

    def _path(self, filename: str) -> Path:
        with reading():
            return named(self.folder, checked_name(filename))

    def _is_there(self, path: Path) -> bool:
        with reading():
            return path.exists()

    def _existing(self, filename: str) -> tuple[Path, bytes]:
        path = self._path(filename)
        try:
            with reading():
                return path, _content(path, self._max_bytes)
        except (FileNotFoundError, NotRegular):
            raise WorkflowNotFound(
                f"There is no workflow {path.name!r}.", hint="GET /api/workflows lists them."
            ) from None


def _content(path: Path, most: int) -> bytes:
    """Read a file. Raises OSError, and InvalidJson for a file with more than `most` bytes."""
    with _limited(path.name, most):
        return read_regular(path, most)


@contextmanager
def _limited(name: str, most: int) -> Iterator[None]:
    """Raise InvalidJson for TooLarge."""
    try:
        yield
    except TooLarge as error:
        raise InvalidJson(
            f"The file {name!r} cannot be read: {error.strerror}; a workflow may have {most}.",
            hint="The limit is the setting COMFYUI_MAX_BODY_BYTES.",
        ) from error


def _is_listed(name: str) -> bool:
    """Return whether a file is listed.

    Bytes of a name that are not UTF-8 are lone surrogates, which no request or answer can contain.
    """
    return is_sound(name) and name.lower().endswith(SUFFIX)


def _format_of(path: Path, most: int) -> Format | None:
    try:
        return unwrap(parse_leniently(read_regular(path, most)))[0]
    except (InvalidRequest, OSError, WorkflowFormatUnsupported):
        return None


def _check(name: str, content: bytes, matches: Check | None) -> None:
    version = version_of(content)
    if matches is not None and not matches(version):
        raise PreconditionFailed(
            f"The workflow {name!r} has changed since you read it.",
            hint="Read it again, apply your change to what it is now, and send its new ETag.",
            version=version,
        )


def _parsed(name: str, content: bytes) -> Any:
    try:
        return parse_leniently(content)
    except InvalidRequest as error:  # also too many values
        raise InvalidJson(f"The file {name!r} cannot be read. {error.detail}") from error


def _text(workflow: Any, most: int) -> bytes:
    """Serialize a workflow, indented unless it is large. Raises InvalidWorkflow."""
    try:
        text = json.dumps(workflow, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        if len(text) <= SET_OUT:
            lines = json.dumps(workflow, ensure_ascii=False, indent=2, allow_nan=False)
            # Indentation of deeply nested values grows a lot
            text = lines if len(lines) <= most // 8 else text
    except ValueError as error:
        raise InvalidWorkflow("The workflow holds a number that is not finite.") from error
    content = f"{text}\n".encode()
    if len(content) > most:
        raise InvalidWorkflow(f"The file would have {len(content)} bytes; {most} are allowed.")
    return content
