"""Stores by the rules of Windows: nothing that is open is renamed, replaced or deleted."""

import os
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.auth.key_store import KeyFile
from app.auth.model import AccessKey
from app.errors import FileNotFound, StorageUnavailable
from app.files.stores import sharing
from app.files.stores.atomic import NotRegular, open_regular, read_regular, write_atomically
from app.files.stores.local import LocalStore, try_to_write
from app.files.stores.store import once
from app.files.stores.temporary import (
    YOUNG,
    open_part,
    remove_left,
    remove_left_folders,
    work_folder,
)
from app.files.uploads import UploadFolders
from app.workflows.saved.library import Library
from tests import windows_files
from tests.unit.auth.test_authenticator import entry

LARGE = 600_000  # bytes: more than one piece
GRAPH = {"1": {"class_type": "A", "inputs": {}}}


@pytest.fixture(autouse=True)
def _windows(monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform == "win32":
        monkeypatch.setattr(sharing, "PAUSES", (0.0, 0.01))
    else:
        windows_files.pretend(monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


async def content_of(store: LocalStore, key: str) -> bytes:
    return b"".join([piece async for piece in store.read(key)])


def test_what_is_open_is_not_renamed(tmp_path: Path) -> None:
    """The rules themselves."""
    path, other = tmp_path / "a", tmp_path / "other"
    path.write_bytes(b"x")
    other.write_bytes(b"y")
    with path.open("rb"):
        for work in (path.unlink, lambda: path.replace(other), lambda: other.replace(path)):
            with pytest.raises(PermissionError):
                work()


async def test_what_is_stored(store: LocalStore, tmp_path: Path) -> None:
    stored = await store.save("task/a.png", once(bytes(LARGE)))
    assert stored.size_bytes == len(await content_of(store, "task/a.png")) == LARGE
    await store.save("task/a.png", once(b"another"))
    await store.move("task/a.png", "task/b.png")
    assert await content_of(store, "task/b.png") == b"another"
    await store.check_room()
    await store.delete("task")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["aux.png", "a:b.png", "nul", "dot.", "a~1.png", "<|>?*.png", "Ä"])
async def test_each_name_is_kept(store: LocalStore, name: str) -> None:
    key = f"task/{name}"
    await store.save(key, once(b"x"))
    assert (await store.stat(key)).key == key
    assert await content_of(store, key) == b"x"
    assert [info.key async for info in store.files("task")] == [key]
    async with store.on_disk(key) as path:
        assert path.read_bytes() == b"x"
    await store.delete(key)
    assert not await store.exists(key)


@pytest.mark.parametrize("key", ["../x", "a/../../x", "C:\\x", "\\\\server\\share\\x", "..\\..\\x"])
async def test_nothing_leads_out(store: LocalStore, tmp_path: Path, key: str) -> None:
    try:
        await store.save(key, once(b"x"))
    except FileNotFound:
        pass
    else:
        assert [info.key async for info in store.files()] == [key]
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


async def test_a_long_path(store: LocalStore) -> None:
    key = f"{'t' * 36}/{'a' * 176}.png/{'b' * 176}.png"
    await store.save(key, once(b"x"))
    assert await content_of(store, key) == b"x"
    assert [info.key async for info in store.files()] == [key]
    await store.delete("t" * 36)
    assert [info async for info in store.files()] == []


async def started(store: LocalStore, key: str) -> AsyncIterator[bytes]:
    """A download that has begun and waits for its client."""
    reading = store.read(key)
    assert await anext(reading)
    return reading


async def test_a_file_that_is_downloaded_is_deleted(store: LocalStore) -> None:
    await store.save("task/a.bin", once(bytes(LARGE)))
    reading = await started(store, "task/a.bin")
    await store.delete("task")
    assert not await store.exists("task/a.bin")
    with pytest.raises(FileNotFound):
        await anext(reading)


async def test_a_file_that_is_downloaded_is_replaced(store: LocalStore) -> None:
    await store.save("a.bin", once(bytes(LARGE)))
    reading = await started(store, "a.bin")
    await store.save("a.bin", once(b"1" * LARGE))
    assert await content_of(store, "a.bin") == b"1" * LARGE
    with pytest.raises(StorageUnavailable):  # not the rest of another file
        await anext(reading)


async def test_a_file_that_was_read_to_its_end_is_replaced(store: LocalStore) -> None:
    """The end is known, and not asked of the file that is there by then."""
    await store.save("a.bin", once(b"x" * 1000))
    pieces = store.read("a.bin")
    assert await anext(pieces) == b"x" * 1000
    await store.save("a.bin", once(b"y"))
    assert [piece async for piece in pieces] == []


async def test_what_another_program_has_open_is_deleted_later(store: LocalStore) -> None:
    for key in ("task/a.bin", "task/b.bin", "other/c.bin"):
        await store.save(key, once(b"x"))
    async with store.on_disk("task/a.bin") as path:
        with path.open("rb"):
            with pytest.raises(StorageUnavailable):
                await store.delete_all(["task", "other"])
            await store.remove_left()
            assert [info.key async for info in store.files()] == ["task/a.bin"]
    await store.remove_left()
    assert [info async for info in store.files()] == []


async def test_what_was_stored_anew_is_not_deleted_later(store: LocalStore) -> None:
    await store.save("a.bin", once(b"x"))
    async with store.on_disk("a.bin") as path:
        with path.open("rb"), pytest.raises(StorageUnavailable):
            await store.delete("a.bin")
    await store.save("a.bin", once(b"anew"))
    await store.remove_left()
    assert await content_of(store, "a.bin") == b"anew"


def while_open(path: Path, work: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something while another thread has the file open, until it was tried in vain."""
    tried = threading.Event()
    monkeypatch.setattr(sharing, "PAUSES", (0.01,) * 1000)
    sleep = time.sleep

    def noted(seconds: float) -> None:
        tried.set()
        sleep(seconds)

    with path.open("rb") as file:
        monkeypatch.setattr(sharing.time, "sleep", noted)

        def close() -> None:
            tried.wait()
            file.close()

        closing = threading.Thread(target=close)
        closing.start()
        work()
    closing.join()
    assert tried.is_set()


def test_a_scanner_that_has_a_file_open_for_a_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"1")
    while_open(path, lambda: write_atomically(path, b"2", durable=True), monkeypatch)
    assert read_regular(path, 10) == b"2"
    while_open(path, lambda: sharing.remove_file(path), monkeypatch)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"1")
    with path.open("rb"), pytest.raises(PermissionError):
        write_atomically(path, b"2")
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert path.read_bytes() == b"1"


def test_what_is_left_and_what_is_in_use(tmp_path: Path) -> None:
    with open_part(tmp_path) as file:
        file.write(b"x")
        file.flush()
        os.utime(file.name, (1, 1))
        assert remove_left(tmp_path) == 0, "it is open"
    os.utime(file.name)
    assert remove_left(tmp_path) == 0, "it may be renamed at any moment"
    os.utime(file.name, (time.time() - YOUNG - 1,) * 2)
    assert remove_left(tmp_path) == 1


def test_a_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with work_folder() as folder:
        (folder / "a").write_bytes(b"x")
        os.utime(folder, (1, 1))
        remove_left_folders()
        assert (folder / "a").exists()
    assert not folder.exists()
    folder.mkdir()
    (folder / "a").write_bytes(b"x")
    remove_left_folders()
    assert folder.exists(), "it may be in use in a moment"
    os.utime(folder, (1, 1))
    remove_left_folders()
    assert not folder.exists()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotRegular):
        open_regular(tmp_path)


def test_room(tmp_path: Path) -> None:
    try_to_write(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_keys(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    file.add(AccessKey.load(entry()))
    assert [key.name for key in file.current()] == [entry()["name"]]
    KeyFile(file.path).revoke(entry()["name"])
    assert list(file.current()) == []


def test_saved_workflows(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.save("a", GRAPH, overwrite=False)
    library.save("A", {**GRAPH, "2": GRAPH["1"]}, overwrite=True)
    assert [found.filename for found in library.list()] == ["a.json"]
    (version,) = library.versions("a")
    library.restore("a", version.id)
    assert library.read("a.json") == ("a.json", GRAPH)
    library.delete("a")
    assert library.list() == []


class CaseBlind(LocalStore):
    """A store whose disk takes names in any case for one, as that of Windows does."""

    def _place(self, key: str) -> str:
        path = Path(super()._place(key))
        place = self.folder
        for name in path.relative_to(self.folder).parts:
            present = {one.name.casefold(): one.name for one in place.glob("*")}
            place /= present.get(name.casefold(), name)
        return str(place)


async def test_uploads_whose_names_differ_in_case(tmp_path: Path) -> None:
    folders = UploadFolders(CaseBlind(tmp_path), max_bytes=100)
    uploads = folders.of("me")
    first = await uploads.save("a.txt", once(b"first"), subfolder="In")
    second = await uploads.save("A.txt", once(b"second"), subfolder="in")
    same = await uploads.save("A.TXT", once(b"first"), subfolder="in")
    assert [one.name for one in (first, second, same)] == ["In/a.txt", "In/A (1).txt", "In/a.txt"]
    assert (await uploads.get("in/A.txt")) == first
    anew = await uploads.save("A.TXT", once(b"anew"), subfolder="in", overwrite=True)
    assert anew.name == "In/a.txt"
    key = await uploads.key_of("IN/A.txt")
    assert key == anew.key
    await uploads.forget(key)
    assert await uploads.find("In/a.txt") is None
