"""Uploaded inputs: kept by name, put on the server that runs a task which names them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from app.errors import FileNotFound
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.magic import HEAD
from app.files.store import FileInfo, FileStore, Stored, safe_name
from app.files.streams import Counted
from app.v2_errors import HashMismatch

Lock = Callable[[], AbstractAsyncContextManager[object]]


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


@dataclass(frozen=True, slots=True)
class Arrived:
    """A file that is here, and has no name yet."""

    wanted: str
    stored: Stored


class Uploads:
    """`naming`: a lock that all have in common who give names in the store."""

    def __init__(self, store: FileStore, *, max_bytes: int, naming: Lock | None = None) -> None:
        self.store = store
        self._max_bytes = max_bytes
        ours = asyncio.Lock()
        self._naming: Lock = naming or (lambda: ours)
        self._known: dict[str, tuple[str, Upload]] = {}  # name -> (etag, upload)

    async def save(
        self, filename: str, chunks: AsyncIterator[bytes], *, expected_hash: str | None = None
    ) -> Upload:
        """Keep a file. The same name with the same bytes is the same upload; with other bytes it
        gets " (1)" and so on, as in ComfyUI.

        Raises PayloadTooLarge, StorageFull and HashMismatch.
        """
        async with self.arriving(filename, chunks, expected_hash=expected_hash) as arrived:
            return await self.settle(arrived)

    @asynccontextmanager
    async def arriving(
        self, filename: str, chunks: AsyncIterator[bytes], *, expected_hash: str | None = None
    ) -> AsyncIterator[Arrived]:
        """A file that is being sent, once it is here; it goes again unless it is settled. Raises
        as `save` does."""
        wanted = safe_name(filename)
        key = f".arriving-{uuid4().hex}-{wanted}"
        stored = await self.store.save(key, chunks, max_bytes=self._max_bytes)
        try:
            if expected_hash not in (None, stored.hash):
                raise HashMismatch(f"The bytes have the hash {stored.hash}, not {expected_hash}.")
            yield Arrived(wanted, stored)
        finally:
            await self.store.delete(key)

    async def settle(self, arrived: Arrived) -> Upload:
        """Give it its name."""
        async with self._naming():
            digest = arrived.stored.hash
            name = await self._name_for(arrived.wanted, digest)
            await self.store.move(arrived.stored.key, name)
            return await self._remember(await self.store.stat(name), digest)

    async def get(self, name: str) -> Upload:
        """Raises FileNotFound."""
        info = await self._stat(name)
        known = self._known.get(name)
        if known is not None and known[0] == info.etag:
            return known[1]
        return await self._remember(info, await self._hash(name))

    async def exists(self, name: str) -> bool:
        return bool(name) and name == safe_name(name) and await self.store.exists(name)

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path]:
        """A path to read it from while the context lasts. Raises FileNotFound."""
        await self._stat(name)
        async with self.store.on_disk(name) as path:
            yield path

    async def head(self, name: str) -> bytes:
        """Its first bytes, which tell what it is. Raises FileNotFound."""
        return await self._head(await self._stat(name))

    async def delete(self, name: str) -> None:
        """Remove a file; a missing one is no error."""
        if await self.exists(name):
            await self.store.delete(name)
        self._known.pop(name, None)

    async def _stat(self, name: str) -> FileInfo:
        if not await self.exists(name):
            raise FileNotFound(
                f"There is no upload {name[:200]!r}.",
                hint="POST /api/image/upload keeps a file; use the name in its answer.",
            )
        return await self.store.stat(name)

    async def _head(self, info: FileInfo) -> bytes:
        chunks = self.store.read(info.key, 0, min(HEAD, info.size_bytes))
        return b"".join([chunk async for chunk in chunks])

    async def _remember(self, info: FileInfo, digest: str) -> Upload:
        name = info.key
        content_type = content_type_of(name, head=await self._head(info))
        upload = Upload(name, content_type, kind_of(name, content_type), info.size_bytes, digest)
        self._known[name] = (info.etag, upload)
        return upload

    async def _hash(self, name: str) -> str:
        counted = Counted(self.store.read(name))
        async for _ in counted:
            pass
        return counted.hash

    async def _name_for(self, wanted: str, digest: str) -> str:
        stem, dot, suffix = wanted.rpartition(".")
        stem, suffix = (stem, f".{suffix}") if dot else (wanted, "")
        name, number = wanted, 0
        while await self.store.exists(name) and (await self.get(name)).hash != digest:
            number += 1
            name = f"{stem} ({number}){suffix}"
        return name
