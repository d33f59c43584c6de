"""Staged names of uploads, keyed with a secret that is stored with the uploads."""

import secrets
from collections.abc import Callable, Collection
from contextlib import AbstractAsyncContextManager

from app.files.staged_names import SECRET_BYTES, name_of, tag_of, tags_in
from app.files.stores.store import FileStore, once

SECRET = ".placing"  # no upload can have this name
OWN = ".keys"  # parent of the folders of API keys
# Prefix of subfolders in the store, so that a folder and an upload never have the same name.
FOLDER = ".in-"
Lock = Callable[[], AbstractAsyncContextManager[object]]


def placed_in(key: str) -> tuple[str, str]:
    """Return the owner's folder in the store, and the name of the upload in it."""
    parts = key.split("/")
    mine = 2 if parts[0] == OWN else 0
    names = [part.removeprefix(FOLDER) for part in parts[mine:]]
    return "/".join(parts[:mine]), "/".join(names)


class Placing:
    """Computes staged names; `naming` is a lock shared by all users of the store."""

    def __init__(self, store: FileStore, naming: Lock) -> None:
        self._store = store
        self._naming = naming
        self._secret: bytes | None = None

    async def name_of(self, key: str, digest: str) -> str:
        """Return the staged name of the upload with that key in the store."""
        place, name = placed_in(key)
        return name_of(await self._key(), place, name, digest)

    async def are_of(self, text: str, places: Collection[str]) -> bool:
        """Return whether all staged names in a text are of uploads at these places."""
        found = tags_in(text)
        if not found:
            return True
        secret = await self._key()
        return found <= {tag_of(secret, place.rstrip("/")) for place in places}

    async def _key(self) -> bytes:
        if self._secret is None:
            self._secret = await self._read() or await self._made()
        return self._secret

    async def _made(self) -> bytes:
        async with self._naming():
            if not await self._read():
                await self._store.save(SECRET, once(secrets.token_bytes(SECRET_BYTES)))
            return await self._read()

    async def _read(self) -> bytes:
        """Return the secret; empty if there is none."""
        if not await self._store.exists(SECRET):
            return b""
        pieces = self._store.read(SECRET, 0, SECRET_BYTES)
        found = b"".join([piece async for piece in pieces])
        return found if len(found) == SECRET_BYTES else b""
