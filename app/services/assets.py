"""Assets: creation, lookup, references in workflows, deletion."""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection

from app.auth.model import Caller
from app.db import assets, idempotency
from app.db.engine.database import Database
from app.db.idempotency import IdempotencyKey
from app.errors import AssetInUse, AssetNotFound, BlobNotFound, GatewayError, MissingAsset
from app.files.images.views import folder_of_upload
from app.files.kinds import Kind, kind_of
from app.files.stores.store import FileStore, once, safe_name
from app.files.uploads import Upload, UploadFolders, Uploads
from app.limits.periodic import every
from app.limits.worker_threads import Workers
from app.tasks.asset import Asset, encoded
from app.workflows.references.assets import reference, references, replaced
from app.workflows.references.ids import as_stored

MOST_REFERENCES = 1000  # per workflow
MOST_NAMES = 1000  # uploads that are listed as choices
Gone = Callable[[str], Awaitable[None]]
EXPIRY_INTERVAL = 30.0  # seconds between two checks for expired assets


@dataclass(frozen=True, slots=True)
class Wish:
    """Properties of a new asset; `file_path` is the client's name, `expires_in` in seconds."""

    file_path: str | None = None
    content_type: str | None = None
    tags: Sequence[str] = ()
    expires_in: int | None = None

    @property
    def expires_at(self) -> float | None:
        return None if self.expires_in is None else time.time() + self.expires_in


@dataclass(frozen=True, slots=True)
class AssetParts:
    """Dependencies of an `AssetService` that do not depend on the caller.

    `kept`: seconds for which results are kept after their task's end, None for ever. `gone` is
    called with the staged name of each deleted upload.
    """

    database: Database
    uploads: UploadFolders
    files: FileStore
    kept: float | None
    workers: Workers
    gone: Gone | None = None


class AssetService:
    """The assets that `caller` may see; others do not exist for it."""

    def __init__(self, parts: AssetParts, caller: Caller) -> None:
        self._database = parts.database
        self._parts = parts
        self._caller = caller

    @property
    def _uploads(self) -> Uploads:
        return self._parts.uploads.of(self._caller.name)

    async def get(self, asset_id: str) -> Asset:
        """Return an asset. Raises AssetNotFound."""
        found = await self._database.read(
            lambda connection: assets.get(connection, asset_id, self._parts.kept, self._caller)
        )
        if found is None or not await self._is_there(found):
            raise AssetNotFound(f"There is no asset {asset_id[:80]!r}.")
        return found

    async def keep(
        self,
        chunks: AsyncIterator[bytes],
        wish: Wish,
        *,
        expected_hash: str | None = None,
        key: IdempotencyKey | None = None,
    ) -> tuple[Asset, bool]:
        """Store bytes as an asset; return it and whether the bytes are new.

        Raises PayloadTooLarge, StorageFull, HashMismatch, and KeyReused if the key was used.
        """
        if key is not None:
            key = replace(key, owner=self._caller.name or "")
            await self._database.read(lambda connection: idempotency.is_known(connection, key))
        name = safe_name(wish.file_path or "upload")
        async with (
            self._uploads.arriving(name, chunks, expected_hash=expected_hash) as arrived,
            self._one_at_a_time(),
        ):
            return await self._minted(await self._uploads.settle(arrived), wish, key)

    async def from_hash(self, hash: str, wish: Wish) -> tuple[Asset, bool]:
        """Return an asset of existing bytes, and whether it is a new one. Raises BlobNotFound."""
        async with self._one_at_a_time():
            found = await self._with_hash(hash)
            mine = [a for a in found if a.upload and a.owner == self._caller.name]
            same = [asset for asset in mine if asset.file_path == wish.file_path]
            if same:
                return await self._extended(same[0], wish), False
            if not found:
                raise BlobNotFound(f"There are no bytes with the hash {hash[:80]!r}.")
            upload = await self._upload_of(found[0], wish.file_path or found[0].filename)
            return (await self._minted(upload, wish))[0], True

    async def is_known(self, hash: str) -> bool:
        """Return whether an asset can be created without sending the bytes."""
        return bool(await self._with_hash(hash))

    async def note(self, upload: Upload, *, overwritten: bool = False) -> None:
        """Create an asset for a file that was uploaded otherwise, unless there is one.

        Assets and views of a file that it replaced are deleted, as its bytes are gone.
        """
        if not overwritten:
            await self._record(upload)
            return
        await self._parts.files.delete(folder_of_upload(upload.key))
        async with self._one_at_a_time():
            # It may have been replaced in turn: the record must be of the current file.
            present = await self._uploads.get(upload.name)
            await self._forget_former(present)
            await self._record(present)

    async def _record(self, upload: Upload) -> None:
        found = await self._database.read(
            lambda connection: assets.by_hash(connection, upload.hash, self._caller)
        )
        mine = (asset for asset in found if asset.owner == self._caller.name)
        if all(asset.upload != upload.name for asset in mine):
            await self._minted(upload, Wish(upload.name))

    async def delete(self, asset_id: str) -> None:
        """Delete an asset, and its file with the last one. Raises AssetNotFound and AssetInUse."""
        asset = await self.get(asset_id)
        if asset.job_id is not None or not await self._removed(asset):
            raise AssetInUse("The asset is still needed, so it cannot be deleted.")

    async def run(self) -> None:
        """Delete expired assets until cancelled."""
        name = "removing expired assets"
        await every(EXPIRY_INTERVAL, self._remove_expired, name, at_once=False)

    async def _remove_expired(self) -> None:
        async with self._database.alone("assets that expire") as ours:
            for asset in await self._database.read(assets.expired, large=True) if ours else []:
                await self._removed(asset)

    async def resolved(self, workflow: Any, *, small: bool = False) -> Any:
        """Return the workflow with complete references for a run. Raises MissingAsset."""
        ids = await self._parts.workers.unless(
            small, lambda: {as_stored(info["id"]): None for info in references(workflow)}
        )
        if not ids:
            return workflow
        if len(ids) > MOST_REFERENCES:
            raise MissingAsset(
                f"The workflow refers to {len(ids)} assets; {MOST_REFERENCES} are allowed."
            )
        known = {asset_id: await self._reference(asset_id) for asset_id in ids}
        return await self._parts.workers.run(
            replaced, workflow, lambda info: known[as_stored(info["id"])]
        )

    async def uploads_by_kind(self) -> list[tuple[str, Kind]]:
        """Return the names and kinds of the caller's newest uploads, MOST_NAMES at most."""
        of_all = self._parts.uploads.shared
        found = await self._database.read(
            lambda connection: assets.upload_names(
                connection, self._caller.name, of_all=of_all, most=MOST_NAMES
            ),
            large=True,
        )
        return [(name, kind_of(name, content_type)) for name, content_type in found]

    async def content(self, asset: Asset) -> tuple[FileStore, str]:
        """Return the store and key of an asset that is no text. Raises FileNotFound."""
        if asset.upload is not None:
            upload = await self._parts.uploads.of(asset.owner).get(asset.upload)
            return self._uploads.store, upload.key
        return self._parts.files, asset.key or ""

    def _one_at_a_time(self) -> AbstractAsyncContextManager[object]:
        """Lock of all processes: no file is deleted while a record of it is created."""
        return self._database.locked("assets")

    # -- helpers --------------------------------------------------------------------------------

    async def _reference(self, asset_id: str) -> Any:
        try:
            asset = await self.get(asset_id)
            # A result, or an upload of another owner: inputs are staged from the uploads of the
            # task's key.
            if asset.upload is None or asset.owner != self._caller.name:
                upload = await self._upload_of(asset, asset.filename)
                await self.note(upload)
                return reference(asset_id, upload.hash, upload.name)
        except GatewayError as error:
            raise MissingAsset(
                f"The workflow refers to the asset {asset_id[:80]!r}, which is not there."
            ) from error
        return reference(asset_id, asset.hash or "", asset.upload)

    async def _forget_former(self, upload: Upload) -> None:
        candidates = await self._database.read(
            lambda connection: assets.of_other_bytes(connection, upload.name, upload.hash)
        )
        for asset in candidates:  # other owners may have files of the same name
            if await self._parts.uploads.of(asset.owner).find(upload.name) == upload.key:
                await self._database.write(partial(assets.remove, asset=asset))

    async def _with_hash(self, hash: str) -> list[Asset]:
        found = await self._database.read(
            lambda connection: assets.by_hash(connection, hash, self._caller)
        )
        return [asset for asset in found if await self._is_there(asset)]

    async def _is_there(self, asset: Asset) -> bool:
        if asset.text is not None:
            return True
        if asset.upload is not None:
            return await self._parts.uploads.of(asset.owner).exists(asset.upload)
        return await self._parts.files.exists(asset.key or "")

    async def _upload_of(self, asset: Asset, wanted: str) -> Upload:
        """Return the asset's bytes as an upload with that name."""
        is_mine = asset.owner == self._caller.name
        if is_mine and asset.upload is not None and asset.upload == safe_name(wanted):
            return await self._uploads.get(asset.upload)
        if asset.text is not None:
            return await self._uploads.save(wanted, once(encoded(asset.text)))
        files, key = await self.content(asset)
        return await self._uploads.save(wanted, files.read(key))

    async def _minted(
        self, upload: Upload, wish: Wish, key: IdempotencyKey | None = None
    ) -> tuple[Asset, bool]:
        content_type = upload.content_type
        if content_type == "application/octet-stream" and wish.content_type:
            content_type = wish.content_type
        asset = Asset(
            asset_id=str(uuid4()),
            hash=upload.hash,
            size_bytes=upload.size_bytes,
            content_type=content_type,
            file_path=wish.file_path,
            created_at=time.time(),
            expires_at=wish.expires_at,
            upload=upload.name,
            owner=self._caller.name,
        )

        def work(connection: Connection) -> bool:
            if key is not None:
                idempotency.take(connection, key, asset.asset_id)
            is_new = not assets.by_hash(connection, upload.hash, self._caller)
            assets.add(connection, asset, wish.tags)
            return is_new

        return asset, await self._database.write(work)

    async def _extended(self, asset: Asset, wish: Wish) -> Asset:
        """Extend the lifetime of the asset as requested; never shorten it."""
        if asset.expires_at is None:
            return asset
        wanted = wish.expires_at
        expires_at = None if wanted is None else max(wanted, asset.expires_at)
        await self._database.write(lambda c: assets.extend(c, asset.asset_id, expires_at))
        return replace(asset, expires_at=expires_at)

    async def _removed(self, asset: Asset) -> bool:
        """Delete the record unless a task needs it; return whether it was deleted."""

        def work(connection: Connection) -> tuple[bool, bool]:
            if assets.is_needed(connection, asset):
                return False, False
            return True, assets.remove(connection, asset)

        uploads, staged = self._parts.uploads.of(asset.owner), None
        async with self._one_at_a_time():
            removed, was_last = await self._database.write(work)
            key = await uploads.key_of(asset.upload) if was_last and asset.upload else None
            if key is not None:
                staged = await uploads.staged_name(key, asset.hash or "")
                await uploads.forget(key)
                await self._parts.files.delete(folder_of_upload(key))
        if staged is not None and self._parts.gone is not None:
            await self._parts.gone(staged)
        return removed
