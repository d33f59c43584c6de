"""Folders of a running gateway. Every few seconds it tries whether they can be written to, with a
file that is there for a moment: no test may take that for something that was left."""

from pathlib import Path

from app.files.stores.temporary import SUFFIX
from tests.conftest import wait_until


async def settled(folder: Path) -> list[Path]:
    """What is in a folder and below it at a moment in which nothing is being written there. A file
    that was left unfinished is one that is being written for ever: it fails the test."""

    def found() -> tuple[list[Path]] | None:
        paths = list(folder.rglob("*"))
        return None if any(path.suffix == SUFFIX for path in paths) else (paths,)

    (paths,) = await wait_until(found)
    return list(paths)
