"""Uploaded inputs: kept in uploads/, put on the server that runs a task which names them."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from app.errors import FileNotFound
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.local import LocalStore
from app.files.magic import HEAD
from app.files.store import safe_name
from app.v2_errors import HashMismatch


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file. `hash` is "blake3:<hex>"."""

    name: str
    content_type: str
    kind: Kind
    size_bytes: int
    hash: str

    @property
    def placed_name(self) -> str:
        """Its name on servers: content-addressed, so that it never collides there."""
        return f"{self.hash.partition(':')[2][:16]}_{self.name}"


class Uploads:
    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.store = LocalStore(folder)
        self._max_bytes = max_bytes
        self._naming = asyncio.Lock()
        self._hashes: dict[str, tuple[float, Upload]] = {}  # name -> (mtime, upload)

    async def save(
        self, filename: str, chunks: AsyncIterator[bytes], *, expected_hash: str | None = None
    ) -> Upload:
        """Keep a file. The same name with the same bytes is the same upload; with other bytes it
        gets " (1)" and so on, as in ComfyUI.

        Raises PayloadTooLarge, StorageFull and HashMismatch.
        """
        wanted = safe_name(filename)
        arriving = f".arriving-{id(chunks)}-{wanted}"
        stored = await self.store.save(arriving, chunks, max_bytes=self._max_bytes)
        source = self.store.path(arriving)
        try:
            if expected_hash not in (None, stored.hash):
                raise HashMismatch(f"The bytes have the hash {stored.hash}, not {expected_hash}.")
            async with self._naming:
                name = await self._name_for(wanted, stored.hash)
                path = source.replace(self.store.path(name))
                return self._remember(name, path.stat(), stored.hash)
        finally:
            source.unlink(missing_ok=True)

    async def get(self, name: str) -> Upload:
        """Raises FileNotFound."""
        path = self.path(name)
        stat = path.stat()
        known = self._hashes.get(name)
        if known is not None and known[0] == stat.st_mtime:
            return known[1]
        return self._remember(name, stat, await asyncio.to_thread(_hash, path))

    def exists(self, name: str) -> bool:
        return bool(name) and name == safe_name(name) and self.store.path(name).is_file()

    def path(self, name: str) -> Path:
        """Raises FileNotFound."""
        if not self.exists(name):
            raise FileNotFound(
                f"There is no upload {name[:200]!r}.",
                hint="POST /api/image/upload keeps a file; use the name in its answer.",
            )
        return self.store.path(name)

    async def delete(self, name: str) -> None:
        """Remove a file; a missing one is no error."""
        if self.exists(name):
            await self.store.delete(name)
        self._hashes.pop(name, None)

    def _remember(self, name: str, stat: os.stat_result, digest: str) -> Upload:
        with self.store.path(name).open("rb") as file:
            content_type = content_type_of(name, head=file.read(HEAD))
        kind = kind_of(name, content_type)
        upload = Upload(name, content_type, kind, stat.st_size, digest)
        self._hashes[name] = (stat.st_mtime, upload)
        return upload

    async def _name_for(self, wanted: str, digest: str) -> str:
        stem, dot, suffix = wanted.rpartition(".")
        stem, suffix = (stem, f".{suffix}") if dot else (wanted, "")
        name, number = wanted, 0
        while self.store.path(name).is_file() and (await self.get(name)).hash != digest:
            number += 1
            name = f"{stem} ({number}){suffix}"
        return name


def _hash(path: Path) -> str:
    digest = blake3()
    digest.update_mmap(path)
    return f"blake3:{digest.hexdigest()}"
