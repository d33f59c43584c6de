"""Removes what writers left behind that were killed: at the start, and now and then, for those of
other replicas."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from app.files.stores.store import FileStore
from app.files.stores.temporary import remove_left, remove_left_folders

log = logging.getLogger(__name__)

LEFTOVERS_INTERVAL = 3600.0  # seconds


class Leftovers:
    """`workflows`: a folder that is its owner's, too: only what is in it itself is looked at, and
    the versions below."""

    def __init__(self, stores: Sequence[FileStore], workflows: Path) -> None:
        self._stores = stores
        self._folders = [(workflows, False), (workflows / ".versions", True)]

    async def run(self) -> None:
        """For ever."""
        while True:
            try:
                await self.remove()
            except Exception:  # of no harm but the room that they take
                log.exception("what was left behind cannot be removed")
            await asyncio.sleep(LEFTOVERS_INTERVAL)

    async def remove(self) -> None:
        for folder, deep in self._folders:
            await asyncio.to_thread(partial(remove_left, folder, deep=deep))
        for store in self._stores:
            await store.remove_left()
        await asyncio.to_thread(remove_left_folders)
