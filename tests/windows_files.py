"""The rules of Windows for files, on another system: what is open is neither renamed nor deleted.

Looks at the files that this process has open; names that Windows cannot hold are refused, too.
"""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.files.stores import sharing
from app.files.stores.disk_names import is_device as is_device

OPEN = Path("/proc/self/fd")
_CANNOT = re.compile(r'[<>:"|?*\\\x00-\x1f]|[. ]\Z')


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the rules of Windows until the end of the test; what waits for others waits briefly."""
    monkeypatch.setattr(sharing, "WINDOWS", True)
    monkeypatch.setattr(sharing, "PAUSES", (0.0, 0.01))
    for name in ("replace", "rename", "unlink", "remove"):
        monkeypatch.setattr(os, name, _refusing(getattr(os, name)))
    monkeypatch.setattr(os, "mkdir", _named_well(os.mkdir))
    monkeypatch.setattr(os, "open", _named_well(os.open))


def _refusing(work: Callable[..., None]) -> Callable[..., None]:
    def checked(*paths: Any, dir_fd: int | None = None, **more: Any) -> None:
        for path in paths:
            _check_name(path)
            if is_open(path if dir_fd is None else Path(OPEN, str(dir_fd), path)):
                raise PermissionError(errno.EACCES, "Sharing violation", str(path))
        work(*paths, **more, **({} if dir_fd is None else {"dir_fd": dir_fd}))

    return checked


def _named_well(work: Callable[..., Any]) -> Callable[..., Any]:
    def checked(path: Any, *rest: Any, **more: Any) -> Any:
        _check_name(path)
        return work(path, *rest, **more)

    return checked


def _check_name(path: Any) -> None:
    name = Path(os.fsdecode(path)).name
    if _CANNOT.search(name) or is_device(name):
        raise OSError(errno.EINVAL, "The filename, directory name, or volume label is incorrect")


def is_open(path: Any) -> bool:
    """Whether this process has the file open; folders do not count."""
    try:
        wanted = os.stat(path)  # noqa: PTH116
    except OSError:
        return False
    for one in OPEN.iterdir():
        try:
            found = one.stat()
        except OSError:
            continue
        if os.path.samestat(found, wanted) and one.is_file():
            return True
    return False
