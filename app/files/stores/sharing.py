r"""Files that others have open, and long paths: what Windows refuses and other systems do.

Windows neither renames nor deletes an open file, and replaces none. Nothing of the gateway has a
stored file open for longer than one read, so that it is enough to wait for a moment; virus scanners
and indexers look at new files, too, and are soon through.
"""

import re
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from app.files.stores.disk_names import stored_key

T = TypeVar("T")

WINDOWS = sys.platform == "win32"
# Seconds before each further try; together 2.9
PAUSES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0)
_DRIVE = re.compile(r"[A-Za-z]:\\")


def patiently(work: Callable[[], T]) -> T:
    """Return what `work` does, on Windows after some tries if a file is open elsewhere.

    Blocks for 3 seconds at most. Raises PermissionError if it is still open then.
    """
    for pause in PAUSES if WINDOWS else ():
        try:
            return work()
        except PermissionError:
            time.sleep(pause)
    return work()


def disk_name(key: str) -> str:
    """Return the relative path of a key on this system's disks: on Windows some are encoded."""
    return stored_key(key) if WINDOWS else key


def remove_file(path: Path) -> None:
    """Delete a file; a missing one is no error. Raises OSError."""
    patiently(lambda: path.unlink(missing_ok=True))


def remove_folder(path: Path) -> None:
    """Delete a folder with all that is in it, and what can be deleted of it otherwise.

    Raises PermissionError on Windows if a file in it is open elsewhere.
    """

    def work() -> None:
        shutil.rmtree(path, ignore_errors=True)
        if WINDOWS and path.exists():
            raise PermissionError(13, "A file in it is used by another program", str(path))

    patiently(work)


def long_path(path: Path) -> Path:
    """Return a path below which names are not counted against the 260 characters of Windows."""
    return Path(long_form(str(path.resolve()))) if WINDOWS else path


def long_form(path: str) -> str:
    r"""Return an absolute path of Windows as `\\?\C:\...`; one of another system as it is. Pure."""
    if path.startswith(("\\\\?\\", "\\\\.\\")):
        return path
    if path.startswith("\\\\"):
        return f"\\\\?\\UNC\\{path[2:]}"
    return f"\\\\?\\{path}" if _DRIVE.match(path) else path
