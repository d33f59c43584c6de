"""Paths of keys: they stay in the folder, whatever links and dots there are."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.errors import FileNotFound
from app.files.stores.local import LocalStore
from app.files.stores.sharing import disk_name

PARTS = st.sampled_from(
    ["a", "b", "missing", "in", "out", "self", "..", ".", "", "a\\b", "c:", "\0", "x" * 300]
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalStore:
    outside = tmp_path_factory.mktemp("outside")
    folder = outside / "store"
    (folder / "a" / "b").mkdir(parents=True)
    try:
        (folder / "a" / "in").symlink_to(folder / "a")
    except OSError:
        pytest.skip("links need a right on Windows")
    (folder / "in").symlink_to("a")
    (folder / "out").symlink_to(outside)
    (folder / "self").symlink_to("self")
    return LocalStore(folder)


@example(key="self")
@example(key="in/" + "x" * 300)
@given(key=st.lists(PARTS, min_size=1, max_size=4).map("/".join))
def test_a_path_is_what_the_key_resolves_to_or_none(store: LocalStore, key: str) -> None:
    try:
        wanted = (store.folder / disk_name(key)).resolve()
        # Python 3.13 and newer raise nothing for a link to itself
        stays = wanted.is_relative_to(store.folder) and not os.path.islink(wanted)  # noqa: PTH114
    except (OSError, RuntimeError, ValueError):
        stays = False
    if stays:
        assert store.path(key) == wanted
    else:
        with pytest.raises(FileNotFound):
            store.path(key)


@pytest.mark.parametrize("key", ["missing/../../x", "a/b/../../../x", "/etc/passwd", "out/x"])
def test_what_leads_out_is_not_there(store: LocalStore, key: str) -> None:
    with pytest.raises(FileNotFound):
        store.path(key)


async def test_a_file_has_the_key_that_it_resolves_to(store: LocalStore, tmp_path: Path) -> None:
    (store.folder / "a" / "file").write_bytes(b"x")
    for key in ("a/file", "in/file", "a/b/../file", "./a//file"):
        assert (await store.stat(key)).key == "a/file"
        info, content = await store.look(key, 10)
        assert (info.key, content) == ("a/file", b"x")


@pytest.mark.parametrize("key", ["x" * 300, "a/" + "x" * 300 + "/b", "in/" + "x" * 300])
async def test_a_name_that_is_too_long_is_that_of_no_file(store: LocalStore, key: str) -> None:
    async def read() -> list[bytes]:
        return [piece async for piece in store.read(key)]

    async def on_disk() -> None:
        async with store.on_disk(key):
            pass

    assert not await store.exists(key)
    for ask in (lambda: store.stat(key), lambda: store.look(key, 9), read, on_disk):
        with pytest.raises(FileNotFound):
            await ask()
    assert [info async for info in store.files(key)] == []
    await store.delete(key)
    await store.remove_left(key)
