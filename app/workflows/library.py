"""The workflow files in workflows/: the only part of this package that does I/O."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import (
    InvalidInput,
    InvalidJson,
    StorageFull,
    WorkflowExists,
    WorkflowFormatUnsupported,
    WorkflowNotFound,
)
from app.files.atomic import write_atomically
from app.workflows.formats import Format, unwrap

# A plain name in any script; no folders, no leading dot, nothing that a shell or URL minds.
_NAME = re.compile(r"[^\W_][\w \-.()]{0,119}", re.UNICODE)
SUFFIXES = (".json",)


@dataclass(frozen=True, slots=True)
class Entry:
    """A workflow file. `format` is None if the file cannot be read as a workflow."""

    filename: str
    format: Format | None
    size_bytes: int
    modified_at: float  # seconds since the epoch


def checked_name(filename: str) -> str:
    """The name with its suffix. Raises InvalidInput for a name that we would not store."""
    name = filename if filename.lower().endswith(SUFFIXES) else f"{filename}.json"
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidInput(
            f"{filename[:80]!r} cannot be the name of a workflow.",
            hint="Use letters, digits, spaces and - _ . ( ), without folders: my-workflow.json.",
            field="filename",
        )
    return name


class Library:
    """The folder of saved workflows. Files are written atomically."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def list(self) -> list[Entry]:
        paths = sorted(path for path in self.folder.iterdir() if path.suffix in SUFFIXES)
        return [self._entry(path) for path in paths if path.is_file()]

    def read(self, filename: str) -> tuple[str, Any]:
        """The file's name and JSON. Raises WorkflowNotFound and InvalidJson."""
        path = self._path(filename)
        try:
            return path.name, json.loads(path.read_bytes())
        except FileNotFoundError:
            raise WorkflowNotFound(
                f"There is no workflow {path.name!r}.", hint="GET /api/workflows lists them."
            ) from None
        except (ValueError, RecursionError) as error:
            raise InvalidJson(f"The file {path.name!r} is not valid JSON: {error}.") from error

    def save(self, filename: str, workflow: Any, *, overwrite: bool) -> str:
        """Keep a workflow; answers the name it has. Raises WorkflowExists."""
        path = self._path(filename)
        if path.exists() and not overwrite:
            raise WorkflowExists(
                f"There is a workflow {path.name!r} already.",
                hint="Choose another name, or pass overwrite=true.",
            )
        content = json.dumps(workflow, ensure_ascii=False, indent=2) + "\n"
        try:
            write_atomically(path, content.encode())
        except OSError as error:
            raise StorageFull(f"The workflow cannot be stored: {error.strerror}.") from error
        return path.name

    def delete(self, filename: str) -> None:
        path = self._path(filename)
        try:
            path.unlink()
        except FileNotFoundError:
            raise WorkflowNotFound(f"There is no workflow {path.name!r}.") from None

    def _path(self, filename: str) -> Path:
        return self.folder / checked_name(filename)

    def _entry(self, path: Path) -> Entry:
        stat = path.stat()
        try:
            kind: Format | None = unwrap(json.loads(path.read_bytes()))[0]
        except (ValueError, RecursionError, OSError, WorkflowFormatUnsupported):
            kind = None
        return Entry(path.name, kind, stat.st_size, stat.st_mtime)
