"""Removal of temporary files of killed writers, at startup and at intervals for other replicas."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from app.files.stores.sharing import long_path
from app.files.stores.store import FileStore
from app.files.stores.temporary import remove_left, remove_left_folders
from app.limits.periodic import every

LEFTOVERS_INTERVAL = 3600.0  # seconds


class Leftovers:
    """`workflows` also contains the user's files: only itself and its versions are searched."""

    def __init__(self, stores: Sequence[FileStore], workflows: Path) -> None:
        self._stores = stores
        folder = long_path(workflows)
        self._folders = [(folder, False), (folder / ".versions", True)]

    async def run(self) -> None:
        """Remove leftovers every LEFTOVERS_INTERVAL seconds until cancelled."""
        await every(LEFTOVERS_INTERVAL, self.remove, "removing what was left behind")

    async def remove(self) -> None:
        """Remove the leftovers that exist now."""
        for folder, deep in self._folders:
            await asyncio.to_thread(partial(remove_left, folder, deep=deep))
        for store in self._stores:
            await store.remove_left()
        await asyncio.to_thread(remove_left_folders)
