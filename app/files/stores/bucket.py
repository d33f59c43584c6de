"""Files in a bucket: S3 and compatible services, Google Cloud Storage, Azure. Needs obstore.

Credentials and endpoints are taken from the environment, under each vendor's names.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import from_url

from app.errors import FileNotFound, InvalidInput, StorageUnavailable
from app.files.stores.sharing import disk_name
from app.files.stores.store import FileInfo, Stored
from app.files.stores.streams import Counted, pieces_of
from app.files.stores.temporary import work_folder

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

log = logging.getLogger(__name__)

# Bytes of a part. Up to PARALLEL + 1 parts are in memory per file being written; S3 accepts 10,000
# parts, so files are limited to 80 GB.
PART_BYTES = 8 << 20
PARALLEL = 3
# Bytes per request. Requests are short, so that a slow client occupies no connection and causes no
# timeout; each is retried separately.
READ = 2 << 20
AT_ONCE = 8  # keys that are deleted at a time
TRUSTED = 60.0  # seconds after a write in which check_room assumes that writing is possible
ROOM = ".room"  # the key written by check_room
PIECE = 256 << 10  # bytes per chunk; larger ones delay the event loop

_CLIENT: ClientConfig = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(minutes=2)}
_RETRY: RetryConfig = {"max_retries": 5, "retry_timeout": timedelta(minutes=1)}
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")


class BucketStore:
    """A FileStore in a bucket, below the prefix of the URL. Raises InvalidInput."""

    def __init__(self, url: str) -> None:
        self._written_at = float("-inf")
        try:
            self._store: ObjectStore = from_url(
                url, client_options=_client_options(), retry_config=_RETRY
            )
        except BaseError as error:
            raise InvalidInput(
                f"The store {url} cannot be opened: {_first_line(error)}",
                hint="What is missing belongs into the gateway's environment.",
            ) from error

    async def save(
        self, key: str, chunks: AsyncIterator[bytes], *, max_bytes: int | None = None
    ) -> Stored:
        counted = Counted(chunks, max_bytes=max_bytes)
        parts = pieces_of(counted, PART_BYTES)
        first = await anext(parts, b"")
        with _translating(writing=True):
            if len(first) < PART_BYTES:
                await obstore.put_async(self._store, key, first, use_multipart=False)
            else:
                # obstore aborts the multipart upload if the stream fails, so no partial file
                # appears.
                await obstore.put_async(
                    self._store,
                    key,
                    _rest(first, parts),
                    chunk_size=PART_BYTES,
                    max_concurrency=PARALLEL,
                )
        self._written_at = time.monotonic()
        return Stored(key, counted.size, counted.hash)

    async def check_room(self) -> None:
        """Check that the bucket accepts writes; a success is cached, as attempts cost money."""
        if time.monotonic() - self._written_at < TRUSTED:
            return
        with _translating(writing=True):
            await obstore.put_async(self._store, ROOM, b"", use_multipart=False)
        self._written_at = time.monotonic()

    async def stat(self, key: str) -> FileInfo:
        with _translating(key):
            meta = await obstore.head_async(self._store, key)
        return _info(key, meta)

    async def look(self, key: str, most: int) -> tuple[FileInfo, bytes | None]:
        return await self.stat(key), None

    async def exists(self, key: str) -> bool:
        try:
            await self.stat(key)
        except FileNotFound:
            return False
        return True

    async def read(self, key: str, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        size = (await self.stat(key)).size_bytes if end is None else end
        for at in range(start, size, READ):
            with _translating(key):
                got = await obstore.get_range_async(
                    self._store, key, start=at, end=min(at + READ, size)
                )
            with memoryview(got) as view:
                for begin in range(0, len(view), PIECE):
                    yield bytes(view[begin : begin + PIECE])

    @asynccontextmanager
    async def on_disk(self, key: str) -> AsyncIterator[Path]:
        with work_folder() as folder:
            path = folder / disk_name(key.rpartition("/")[2])
            with path.open("wb") as file:
                async for piece in self.read(key):
                    await asyncio.to_thread(file.write, piece)
            yield path

    async def move(self, key: str, to: str) -> None:
        with _translating(key):
            await obstore.rename_async(self._store, key, to)

    async def delete(self, key: str) -> None:
        if not key.strip("/"):
            raise FileNotFound("The store itself cannot be deleted.")
        found = [info.key async for info in self.files(key)]
        if not found and await self.exists(key):
            found = [key]
        if found:
            with _translating():
                await obstore.delete_async(self._store, found)

    async def delete_all(self, keys: Sequence[str]) -> None:
        limit = asyncio.Semaphore(AT_ONCE)

        async def delete(key: str) -> None:
            async with limit:
                await self.delete(key)

        await asyncio.gather(*map(delete, keys))

    async def remove_left(self, prefix: str = "") -> None:
        """Do nothing: incomplete uploads are invisible, and removed by the bucket's lifecycle
        rules."""

    async def files(self, prefix: str = "") -> AsyncIterator[FileInfo]:
        listing = obstore.list(self._store, prefix, chunk_size=1000)
        while True:
            with _translating():
                page = await anext(listing, None)
            if page is None:
                return
            for meta in page:
                if meta["path"].rpartition("/")[2] != ROOM:  # not a stored file
                    yield _info(meta["path"], meta)


def _client_options() -> ClientConfig:
    """Allow HTTP if the configured endpoint is http://."""
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    return {**_CLIENT, "allow_http": True} if endpoint.startswith("http://") else _CLIENT


async def _rest(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for other in others:
        yield other


def _info(key: str, meta: ObjectMeta) -> FileInfo:
    return FileInfo(key, meta["size"], _etag(meta), meta["last_modified"].timestamp())


def _etag(meta: ObjectMeta) -> str:
    said = meta["e_tag"] or f"{meta['last_modified'].timestamp():.3f}-{meta['size']:x}"
    return said.removeprefix("W/").strip('"')


@contextmanager
def _translating(key: str = "", *, writing: bool = False) -> Iterator[None]:
    """Convert obstore's exceptions; their texts are only logged, as they name keys and hosts."""
    try:
        yield
    except FileNotFoundError as error:
        if not writing:
            raise FileNotFound(f"There is no file {key!r}.") from error
        raise StorageUnavailable(
            "There is no such bucket: make it, or change COMFYUI_FILES_URL."
        ) from error
    except BaseError as error:
        log.error("the bucket cannot be used: %s", _first_line(error))
        raise (_refusal() if _is_refusal(error) else _outage()) from error


def _is_refusal(error: BaseError) -> bool:
    # A refused listing is raised as a general error.
    refusals = (PermissionDeniedError, UnauthenticatedError)
    return isinstance(error, refusals) or "403 Forbidden" in str(error)


def _refusal() -> StorageUnavailable:
    return StorageUnavailable(
        "The bucket refused access: check the credentials in the gateway's environment, such as "
        "AWS_ACCESS_KEY_ID."
    )


def _outage() -> StorageUnavailable:
    return StorageUnavailable(
        "The bucket cannot be used at the moment; the gateway's log has the reason."
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0][:500]
