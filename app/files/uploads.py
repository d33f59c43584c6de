"""Uploads: stored by name, and staged on the server that runs a task with them.

Each API key has a folder of its own, unless keys share, so that other keys can neither use its
uploads nor detect them by a name conflict. Uploads outside of such a folder are everybody's.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from app.errors import FileNotFound, HashMismatch, InvalidInput
from app.files.kinds import Kind, content_type_of, kind_of
from app.files.signatures import SNIFFED_BYTES
from app.files.staging_secret import FOLDER, OWN, Lock, Placing, placed_in
from app.files.stores.store import FileInfo, FileStore, Stored, is_plain, numbered, safe_name
from app.files.stores.streams import Counted
from app.limits.lru_cache import BoundedCache
from app.limits.quoting import quoted

KNOWN = 10_000  # uploads whose type and hash are cached; others are read again
MAX_FOLDERS = 8  # nesting depth
MAX_SUBFOLDER = 70  # characters; with the longest name this is the limit of an asset


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file. `key` is its key in the store; `hash` is "blake3:<hex>"."""

    name: str
    key: str
    content_type: str
    kind: Kind
    size_bytes: int
    hash: str


@dataclass(frozen=True, slots=True)
class Arrived:
    """A received file without its final name."""

    wanted: str
    stored: Stored


def folders_of(subfolder: str) -> str:
    """Return the prefix for names in a subfolder: "" or "a/b/".

    Raises InvalidInput for one that leads out or is no valid folder.
    """
    parts = [part for part in subfolder.replace("\\", "/").split("/") if part]
    if len(parts) > MAX_FOLDERS or len(subfolder) > MAX_SUBFOLDER or not all(map(is_plain, parts)):
        raise InvalidInput(
            f"subfolder: {quoted(subfolder)} cannot be one.",
            hint=f"Up to {MAX_FOLDERS} names and {MAX_SUBFOLDER} characters, with / between them; "
            "none begins with a dot.",
            field="subfolder",
        )
    return "".join(f"{part}/" for part in parts)


def folder_for(type_: str, subfolder: str) -> str:
    """Return the folder among the uploads for what is uploaded with ComfyUI's type of folder.

    Uploads are inputs. What ComfyUI would write into its folders of outputs or temporary files is
    kept in a folder of that name, where `name [temp]` in a prompt finds it.
    """
    return "/".join(part for part in ("" if type_ == "input" else type_, subfolder) if part)


class UploadFolders:
    """The uploads of all owners; `of` returns those of one.

    `naming`: a lock shared by all processes that name uploads in the store. `shared`: API keys have
    no folders of their own.
    """

    def __init__(
        self,
        store: FileStore,
        *,
        max_bytes: int,
        naming: Lock | None = None,
        shared: bool = False,
    ) -> None:
        self.store = store
        self.shared = shared
        self.max_bytes = max_bytes
        ours = asyncio.Lock()
        self.naming: Lock = naming or (lambda: ours)
        self.placing = Placing(store, self.naming)
        # By key: the etag of the file that was read, and the result.
        self.known: BoundedCache[str, tuple[str, Upload]] = BoundedCache(KNOWN)

    def of(self, owner: str | None) -> "Uploads":
        """Return the uploads of an API key; None: of nobody."""
        return Uploads(self, owner)


class Uploads:
    """The uploads of one API key: its own, then everybody's. New ones are its own."""

    def __init__(self, folders: UploadFolders, owner: str | None) -> None:
        own = f"{OWN}/{owner}/" if owner else ""
        self.store = folders.store
        self._folders = folders
        self._below = "" if folders.shared else own  # where uploads are added and deleted
        self._places = (own, "") if own else ("",)  # where uploads are searched

    async def staged_name(self, key: str, digest: str) -> str:
        """Return the staged name of an upload; it depends on content and owner, so it never
        collides."""
        return await self._folders.placing.name_of(key, digest)

    async def may_name(self, text: str) -> bool:
        """Return whether all staged names in a text are of uploads that this owner may use."""
        return await self._folders.placing.are_of(text, self._places)

    async def save(
        self,
        filename: str,
        chunks: AsyncIterator[bytes],
        *,
        subfolder: str = "",
        overwrite: bool = False,
    ) -> Upload:
        """Store a file and return the upload.

        The same name with the same bytes is the same upload; with other bytes it gets " (1)" and so
        on, as in ComfyUI, or replaces the existing one with `overwrite`. Raises InvalidInput for an
        empty file and an invalid subfolder, PayloadTooLarge, and StorageFull.
        """
        async with self.arriving(filename, chunks, subfolder=subfolder) as arrived:
            return await self.settle(arrived, overwrite=overwrite)

    @asynccontextmanager
    async def arriving(
        self,
        filename: str,
        chunks: AsyncIterator[bytes],
        *,
        expected_hash: str | None = None,
        subfolder: str = "",
    ) -> AsyncIterator[Arrived]:
        """Receive a file, and delete it at the end unless `settle` was called.

        Raises what `save` raises, and HashMismatch.
        """
        name = safe_name(filename)
        wanted = f"{folders_of(subfolder)}{name}"
        key = f"{self._below}.arriving-{uuid4().hex}-{name}"
        stored = await self.store.save(key, chunks, max_bytes=self._folders.max_bytes)
        try:
            if not stored.size_bytes:
                raise InvalidInput(f"The file {quoted(name)} is empty.")
            if expected_hash not in (None, stored.hash):
                raise HashMismatch(f"The bytes have the hash {stored.hash}, not {expected_hash}.")
            yield Arrived(wanted, stored)
        finally:
            await self.store.delete(key)

    async def settle(self, arrived: Arrived, *, overwrite: bool = False) -> Upload:
        """Give a received file its name."""
        async with self._folders.naming():
            digest = arrived.stored.hash
            key = await self._key_for(arrived.wanted, digest, overwrite=overwrite)
            await self.store.move(arrived.stored.key, key)
            return await self._remember(await self.store.stat(key), digest)

    async def get(self, name: str) -> Upload:
        """Return an upload. Raises FileNotFound."""
        return await self._looked_at(await self._stat(name))

    async def exists(self, name: str) -> bool:
        return await self.find(name) is not None

    @asynccontextmanager
    async def on_disk(self, name: str) -> AsyncIterator[Path]:
        """Yield a path to read the upload from. Raises FileNotFound."""
        info = await self._stat(name)
        async with self.store.on_disk(info.key) as path:
            yield path

    async def head(self, name: str) -> bytes:
        """Return the first bytes, which determine the type. Raises FileNotFound."""
        return await self._head(await self._stat(name))

    async def forget(self, key: str) -> None:
        """Delete the upload with this key; a missing one is no error."""
        await self.store.delete(key)
        self._folders.known.discard(key)

    async def key_of(self, name: str) -> str | None:
        """Return the key of an upload that this owner may delete, or None."""
        return await self._first([self._below], name)

    async def find(self, name: str) -> str | None:
        """Return the key of an upload, or None."""
        return await self._first(self._places, name)

    async def _first(self, places: Sequence[str], name: str) -> str | None:
        if not all(map(is_plain, name.split("/"))):
            return None
        for place in places:
            if (info := await self._present(place + _path(name))) is not None:
                return info.key
        return None

    async def _present(self, key: str) -> FileInfo | None:
        """Return the upload with this key, if there is one; on Windows in any case of letters."""
        try:
            return await self.store.stat(key)
        except FileNotFound:
            return None

    async def _stat(self, name: str) -> FileInfo:
        key = await self.find(name)
        if key is None:
            raise FileNotFound(
                f"There is no upload {name[:200]!r}.",
                hint="POST /api/image/upload keeps a file; use the name in its answer.",
            )
        return await self.store.stat(key)

    async def _looked_at(self, info: FileInfo) -> Upload:
        known = self._folders.known.get(info.key)
        if known is not None and known[0] == info.etag:
            return known[1]
        return await self._remember(info, await self._hash(info.key))

    async def _head(self, info: FileInfo) -> bytes:
        chunks = self.store.read(info.key, 0, min(SNIFFED_BYTES, info.size_bytes))
        return b"".join([chunk async for chunk in chunks])

    async def _remember(self, info: FileInfo, digest: str) -> Upload:
        name = placed_in(info.key)[1]
        content_type = content_type_of(name, head=await self._head(info))
        kind = kind_of(name, content_type)
        upload = Upload(name, info.key, content_type, kind, info.size_bytes, digest)
        self._folders.known.put(info.key, (info.etag, upload))
        return upload

    async def _hash(self, key: str) -> str:
        counted = Counted(self.store.read(key))
        async for _ in counted:
            pass
        return counted.hash

    async def _key_for(self, wanted: str, digest: str, *, overwrite: bool) -> str:
        """Return the key for a new file of this name; one with other bytes is only replaced with
        `overwrite`."""
        folders, slash, name = wanted.rpartition("/")
        key, number = self._below + _path(wanted), 0
        while (present := await self._present(key)) is not None:
            if overwrite or (await self._looked_at(present)).hash == digest:
                return present.key
            number += 1
            key = self._below + _path(f"{folders}{slash}{numbered(name, number)}")
        return key


def _path(name: str) -> str:
    """Return the path of an upload in its owner's folder."""
    *folders, last = name.split("/")
    return "".join(f"{FOLDER}{folder}/" for folder in folders) + last
