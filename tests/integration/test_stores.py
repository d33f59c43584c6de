"""The two stores behind one interface: a folder, and a bucket on a real S3 server."""

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from blake3 import blake3

from app.errors import (
    ComfyUnreachable,
    FileNotFound,
    InvalidInput,
    PayloadTooLarge,
    StorageUnavailable,
)
from app.files.stores.factory import open_store, parse_files_url
from app.files.stores.local import LocalStore
from app.files.stores.store import FileStore, once
from tests.s3 import BUCKET, s3, s3_endpoint  # noqa: F401 (fixtures)

MB = 1 << 20


@pytest.fixture(params=["folder", "bucket"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    if request.param == "bucket":
        return open_store(parse_files_url(request.getfixturevalue("s3")), tmp_path)
    return open_store("", tmp_path / "outputs")


async def chunks(count: int, *, fail: bool = False) -> AsyncIterator[bytes]:
    for number in range(count):
        yield bytes([number % 256]) * MB
    if fail:
        raise ComfyUnreachable("it went away")


async def whole(store: FileStore, key: str, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([piece async for piece in store.read(key, start, end)])


async def keys(store: FileStore, prefix: str = "") -> list[str]:
    return sorted([info.key async for info in store.files(prefix)])


@pytest.mark.parametrize("content", [b"", b"hello", os.urandom(3 * MB)])
async def test_what_is_saved_is_read(store: FileStore, content: bytes) -> None:
    stored = await store.save("task/a b é#%.png", once(content))
    assert (stored.size_bytes, stored.hash) == (
        len(content),
        f"blake3:{blake3(content).hexdigest()}",
    )
    assert await whole(store, stored.key) == content
    info = await store.stat(stored.key)
    assert (info.key, info.size_bytes) == (stored.key, len(content))
    async with store.on_disk(stored.key) as path:
        assert path.read_bytes() == content


async def test_who_goes_away_leaves_no_file_open(store: FileStore) -> None:
    """Cancelled at any moment of a read. A file that nobody closes is an error of the test run."""
    await store.save("task/a.png", once(b"x" * MB))
    for number in range(60):
        reading = asyncio.create_task(whole(store, "task/a.png"))
        await asyncio.sleep(number % 6 * 0.0002)
        reading.cancel()
        await asyncio.wait([reading])
    assert len(await whole(store, "task/a.png")) == MB
    gc.collect()


async def test_a_large_file_in_parts(store: FileStore) -> None:
    stored = await store.save("task/large", chunks(21))
    assert stored.size_bytes == 21 * MB
    assert await whole(store, "task/large", 5 * MB - 1, 5 * MB + 1) == b"\4\5"
    assert await whole(store, "task/large", 21 * MB - 1) == b"\x14"
    digest = blake3(await whole(store, "task/large")).hexdigest()
    assert stored.hash == f"blake3:{digest}"


@pytest.mark.parametrize("count", [1, 21])
async def test_half_a_file_is_never_seen(store: FileStore, count: int) -> None:
    with pytest.raises(ComfyUnreachable):
        await store.save("task/half", chunks(count, fail=True))
    with pytest.raises(PayloadTooLarge):
        await store.save("task/half", chunks(count), max_bytes=count * MB - 1)
    assert not await store.exists("task/half")
    assert await keys(store) == []


async def test_a_new_content_has_a_new_etag(store: FileStore) -> None:
    await store.save("a", once(b"1"))
    first = await store.stat("a")
    await store.save("a", once(b"22"))
    assert (await store.stat("a")).etag != first.etag


async def test_two_contents_of_one_size_and_time_have_two_etags(tmp_path: Path) -> None:
    store, etags = LocalStore(tmp_path), set()
    for content in (b"1", b"2"):  # as in one tick of the clock of a file system
        await store.save("arriving", once(content))
        await store.move("arriving", "a")
        os.utime(tmp_path / "a", ns=(0, 0))
        etags.add((await store.stat("a")).etag)
    assert len(etags) == 2


async def test_whether_it_can_be_written(store: FileStore) -> None:
    for _ in range(2):
        await store.check_room()


async def test_delete_and_list(store: FileStore) -> None:
    for key in ("one/a", "one/b", "one/deep/c", "one-more/d", "two"):
        await store.save(key, once(b"x"))
    assert await keys(store, "one") == ["one/a", "one/b", "one/deep/c"]
    await store.delete("one")
    await store.delete("two")
    await store.delete("never")
    assert await keys(store) == ["one-more/d"]
    with pytest.raises(FileNotFound):
        await store.stat("one/a")
    with pytest.raises(FileNotFound):
        await whole(store, "one/a")


async def test_a_bucket_that_refuses_us(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-key")
    store = open_store(s3, Path())
    save = store.save("a", once(b"1"))
    for work in (save, store.check_room(), store.stat("a"), store.delete("a")):
        with pytest.raises(StorageUnavailable, match="refused") as caught:
            await work
        assert "AWS_ACCESS_KEY_ID" in str(caught.value)
        assert "wrong" not in str(caught.value)


async def test_no_such_bucket(s3: str) -> None:  # noqa: F811
    store = open_store(s3.replace(BUCKET, "nowhere"), Path())
    with pytest.raises(StorageUnavailable, match="no such bucket"):
        await store.save("a", once(b"1"))


def test_what_is_missing_for_a_bucket_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)
    with pytest.raises(InvalidInput, match="Account must be specified"):
        open_store(parse_files_url("az://container/prefix"), Path())


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    open_store(parse_files_url(f"file://{tmp_path}/a%20b"), Path("unused"))
    assert (tmp_path / "a b").is_dir()


@pytest.mark.parametrize(
    "url",
    ["outputs", "ftp://a/b", "s3://", "file://host/a", "s3://key:secret@bucket", "az://c/p?sig=1"],
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_files_url(url)
    assert caught.value.hint
    assert "secret" not in str(caught.value)


def test_without_obstore_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.files.stores.factory.find_spec", lambda name: None)
    with pytest.raises(InvalidInput) as caught:
        parse_files_url("s3://bucket")
    assert caught.value.hint == "pip install obstore"
