"""Folders of a running gateway. Every few seconds it tries whether they can be written to, with a
file that is there for a moment: no test may take that for something that was left."""

from pathlib import Path

from app.files.stores.temporary import is_part
from tests.conftest import wait_until


def lasting_files(folder: Path) -> list[Path]:
    """The files below a folder that are not being written."""
    return [path for path in folder.rglob("*") if not is_part(path.name) and path.is_file()]


async def until_none_is_unfinished(*folders: Path) -> None:
    """Wait until nothing is being written, as it would be for ever if a file had been left."""
    await wait_until(lambda: not any([*folder.rglob("*.part")] for folder in folders))
