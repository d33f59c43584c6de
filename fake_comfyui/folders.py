"""The three folders: input, output, temp. Nothing leads outside of them."""

from __future__ import annotations

import mimetypes
import os
import re
import shutil
from pathlib import Path

KINDS = ("input", "output", "temp")
TYPES = mimetypes.MimeTypes()  # Python's own: those of the system may say anything
TYPES.add_type("image/webp", ".webp")  # before Python 3.13 it was not among them
_ANNOTATED = re.compile(r"^(?P<name>.*?) ?\[(?P<kind>input|output|temp)\]$")


def kind_of(name: str) -> str:
    """image, audio, video, ...: by its name, as ComfyUI tells it for the choices of loaders."""
    if name.endswith(".webp"):
        return "image"
    return (TYPES.guess_type(name, strict=False)[0] or "").partition("/")[0]


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that no disk can hold is none."""
    try:
        return path.is_file()
    except OSError:
        return False


class OutsideFolder(ValueError):
    """The path leads outside of its folder."""


class Folders:
    """Where the demo keeps its files."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._counters: dict[tuple[Path, str], int] = {}
        for kind in KINDS:
            (self.root / kind).mkdir(parents=True, exist_ok=True)

    def wipe_temp(self) -> None:
        """As a restart does; file counters are read from the disk again, too."""
        self._counters.clear()
        shutil.rmtree(self.root / "temp", ignore_errors=True)
        (self.root / "temp").mkdir(exist_ok=True)  # on Windows while a file in it is read

    def inside(self, kind: str, *parts: str) -> Path:
        """`parts` below the folder `kind`; raises OutsideFolder, KeyError for no such folder."""
        if kind not in KINDS:
            raise KeyError(kind)
        base = self.root / kind
        path = Path(os.path.normpath(base.joinpath(*parts)))
        if path != base and base not in path.parents:
            raise OutsideFolder(str(path))
        return path

    def annotated(self, name: str, default: str = "input") -> Path:
        """`name [output]` and the like, as LoadImage takes it."""
        kind = default
        if match := _ANNOTATED.match(name):
            name, kind = match["name"], match["kind"]
        return self.inside(kind, name)

    def uploads(self) -> list[str]:
        """The files lying directly in the input folder."""
        with os.scandir(self.root / "input") as entries:
            return sorted(entry.name for entry in entries if entry.is_file())

    def next_file(self, kind: str, prefix: str) -> tuple[Path, str, int]:
        """(folder, file prefix, counter) for `prefix`, which may name a subfolder."""
        target = self.inside(kind, prefix)
        if prefix.endswith("/"):
            target /= "."
        folder, stem = target.parent, target.name
        folder.mkdir(parents=True, exist_ok=True)
        counter = self._counters.get((folder, stem))
        if counter is None or not folder.exists():
            counter = _highest(folder, stem)
        self._counters[folder, stem] = counter + 1
        return folder, stem, counter + 1

    def subfolder(self, kind: str, folder: Path) -> str:
        """How `ui` names the folder: on Windows with backslashes, as ComfyUI does."""
        relative = str(folder.relative_to(self.root / kind))
        return "" if relative == "." else relative


def _highest(folder: Path, stem: str) -> int:
    """The highest number already used, whatever the extension."""
    pattern = re.compile(re.escape(stem) + r"_(\d+)[_.]")
    numbers = (match[1] for entry in os.scandir(folder) if (match := pattern.match(entry.name)))
    return max(map(int, numbers), default=0)
