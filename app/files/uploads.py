"""Uploaded inputs: kept in uploads/, put on the server that runs a task which names them.

Those of an API key are in a folder of its own, unless keys share: so nobody else can name them, nor
find out by a name that is taken that they are there. What stands in uploads/ itself is everybody's.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from copy import copy
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from app.errors import FileNotFound
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.local import LocalStore
from app.files.magic import HEAD
from app.files.store import safe_name
from app.v2_errors import HashMismatch

OWN = ".keys"  # the folder of the folders of keys; no upload is called so


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file. `key` is its place in the store; `hash` is "blake3:<hex>"."""

    name: str
    key: str
    content_type: str
    kind: Kind
    size_bytes: int
    hash: str

    @property
    def placed_name(self) -> str:
        """Its name on servers: content-addressed, so that it never collides there."""
        return f"{self.hash.partition(':')[2][:16]}_{self.name}"


class Uploads:
    """`shared`: keys have no folders of their own."""

    def __init__(self, folder: Path, *, max_bytes: int, shared: bool = False) -> None:
        self.store = LocalStore(folder)
        self._max_bytes = max_bytes
        self._shared = shared
        self._below = ""  # where new ones go
        self._places = [""]  # where they are looked for
        self._naming = asyncio.Lock()
        self._hashes: dict[str, tuple[float, Upload]] = {}  # key -> (mtime, upload)

    def of(self, key_name: str | None) -> "Uploads":
        """Those of an API key: its own, then what is everybody's. New ones become its own."""
        found = copy(self)
        own = f"{OWN}/{key_name}/" if key_name else ""
        found._below = "" if self._shared else own
        found._places = [own, ""] if own else [""]
        return found

    async def save(
        self, filename: str, chunks: AsyncIterator[bytes], *, expected_hash: str | None = None
    ) -> Upload:
        """Keep a file. The same name with the same bytes is the same upload; with other bytes it
        gets " (1)" and so on, as in ComfyUI.

        Raises PayloadTooLarge, StorageFull and HashMismatch.
        """
        wanted = safe_name(filename)
        arriving = f"{self._below}.arriving-{id(chunks)}-{wanted}"
        stored = await self.store.save(arriving, chunks, max_bytes=self._max_bytes)
        source = self.store.path(arriving)
        try:
            if expected_hash not in (None, stored.hash):
                raise HashMismatch(f"The bytes have the hash {stored.hash}, not {expected_hash}.")
            async with self._naming:
                name = await self._name_for(wanted, stored.hash)
                key = self._below + name
                path = source.replace(self.store.path(key))
                return self._remember(key, path.stat(), stored.hash)
        finally:
            source.unlink(missing_ok=True)

    async def get(self, name: str) -> Upload:
        """Raises FileNotFound."""
        return await self._looked_at(self._key(name))

    def exists(self, name: str) -> bool:
        return self._found(name) is not None

    def path(self, name: str) -> Path:
        """Raises FileNotFound."""
        return self.store.path(self._key(name))

    async def delete(self, name: str) -> None:
        """Remove a file; a missing one is no error."""
        if (key := self._found(name)) is not None:
            await self.store.delete(key)
            self._hashes.pop(key, None)

    def _key(self, name: str) -> str:
        """Raises FileNotFound."""
        key = self._found(name)
        if key is None:
            raise FileNotFound(
                f"There is no upload {name[:200]!r}.",
                hint="POST /api/image/upload keeps a file; use the name in its answer.",
            )
        return key

    def _found(self, name: str) -> str | None:
        if not name or name != safe_name(name):
            return None
        keys = (f"{place}{name}" for place in self._places)
        return next((key for key in keys if self.store.path(key).is_file()), None)

    async def _looked_at(self, key: str) -> Upload:
        path = self.store.path(key)
        stat = path.stat()
        known = self._hashes.get(key)
        if known is not None and known[0] == stat.st_mtime:
            return known[1]
        return self._remember(key, stat, await asyncio.to_thread(_hash, path))

    def _remember(self, key: str, stat: os.stat_result, digest: str) -> Upload:
        name = key.rpartition("/")[2]
        with self.store.path(key).open("rb") as file:
            content_type = content_type_of(name, head=file.read(HEAD))
        kind = kind_of(name, content_type)
        upload = Upload(name, key, content_type, kind, stat.st_size, digest)
        self._hashes[key] = (stat.st_mtime, upload)
        return upload

    async def _name_for(self, wanted: str, digest: str) -> str:
        stem, dot, suffix = wanted.rpartition(".")
        stem, suffix = (stem, f".{suffix}") if dot else (wanted, "")
        name, number = wanted, 0
        while self.store.path(self._below + name).is_file():
            if (await self._looked_at(self._below + name)).hash == digest:
                break
            number += 1
            name = f"{stem} ({number}){suffix}"
        return name


def _hash(path: Path) -> str:
    digest = blake3()
    digest.update_mmap(path)
    return f"blake3:{digest.hexdigest()}"
