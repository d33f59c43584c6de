"""The folder of saved workflows."""

import json
import os
import threading
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import strategies as st

from app.errors import (
    GatewayError,
    InvalidInput,
    InvalidJson,
    InvalidWorkflow,
    PreconditionFailed,
    StorageFull,
    WorkflowExists,
    WorkflowNotFound,
)
from app.files.stores.atomic import read_regular
from app.workflows.formats import Format
from app.workflows.saved import versions
from app.workflows.saved.library import Library
from tests.conftest import model_free

API = model_free()
UI = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}


# -- formats ------------------------------------------------------------------------------------
def entry(item: list[Any]) -> dict[str, Any]:
    return {"prompt": item, "outputs": {}, "status": {"completed": True}, "meta": {}}


WORDS = st.sampled_from(
    ["prompt", "workflow", "extra_data", "extra_pnginfo", "nodes", "class_type"]
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.dictionaries(WORDS | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=30,
)
# -- names --------------------------------------------------------------------------------------
BAD_NAMES = [
    *("", ".", "..", ".json", "..json", "...", " ", " a", "_a", "-a", ".hidden", ".versions"),
    *("../a", "../../etc/passwd", "a/../../b", "a/b", "/etc/passwd", "~/a", "a\\b", "..\\a"),
    *("C:\\a", "C:a", "\\\\host\\a", "a:b", "a\0b", "a\nb", "a\u202eb", "a\u200bb", "a\ud800"),
    *("....//a", "a..b", "%2e%2e/a", "a%00", "a?b", "a*b", "a|b", "<a>", 'a"b', "a;b", "$a", "#"),
    *("CON", "con.json", "Nul", "aux.txt.json", "PRN .json", "com1", "COM9.json", "lpt0", "COM¹"),
    *("x" * 201, "x" * 196 + ".json", "猫" * 70, "\u0301a"),
]


# -- the library --------------------------------------------------------------------------------
@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "workflows")


def names(library: Library) -> list[str]:
    return [entry.filename for entry in library.list()]


def test_case_and_unicode_form_do_not_make_another_file(library: Library) -> None:
    library.save("É.json", API, overwrite=False)
    for name in ("é", "E\u0301.JSON", "e\u0301.json"):
        with pytest.raises(WorkflowExists, match=r"É\.json"):
            library.save(name, API, overwrite=False)
        assert library.save(name, UI, overwrite=True).filename == "É.json"
        assert library.open(name).filename == "É.json"
    assert names(library) == ["É.json"]


def test_a_name_from_a_mac_is_found(library: Library) -> None:
    decomposed = unicodedata.normalize("NFD", "été.json")
    (library.folder / decomposed).write_text(json.dumps(API), encoding="utf-8")
    assert library.read("été") == (decomposed, API)


@pytest.mark.posix("they are one file there")
def test_two_files_that_differ_in_case_are_both_reached(library: Library) -> None:
    for name, content in (("A.json", API), ("a.json", UI)):
        (library.folder / name).write_text(json.dumps(content), encoding="utf-8")
    assert library.read("A") == ("A.json", API)
    assert library.read("a") == ("a.json", UI)
    for color in (1, 2):
        library.save("A", model_free(color), overwrite=True)
    library.save("a", model_free(3), overwrite=True)
    version = library.versions("a")[0].id
    assert library.restore("a", version).filename == "a.json"
    assert library.read("A") == ("A.json", model_free(2))


@pytest.mark.parametrize("name", BAD_NAMES)
def test_no_method_takes_a_bad_name(library: Library, name: str) -> None:
    library.save("a", API, overwrite=True)
    before = sorted(library.folder.parent.rglob("*"))
    calls: list[Callable[[], object]] = [
        lambda: library.open(name),
        lambda: library.save(name, API, overwrite=True),
        lambda: library.change(name, lambda *_: API),
        lambda: library.delete(name),
        lambda: library.versions(name),
        lambda: library.version(name, "x"),
        lambda: library.restore(name, "x"),
    ]
    for call in calls:
        with pytest.raises(InvalidInput):
            call()
    assert sorted(library.folder.parent.rglob("*")) == before


def test_a_folder_is_no_workflow(library: Library) -> None:
    (library.folder / "a.json").mkdir()
    assert library.list() == []
    for call in (library.open, library.delete):
        with pytest.raises(WorkflowNotFound):
            call("a")
    with pytest.raises(StorageFull):
        library.save("a", API, overwrite=True)


def test_a_change_of_another_version_is_refused(library: Library) -> None:
    version = library.save("a", API, overwrite=True).version
    library.save("a", UI, overwrite=True)
    for call in (library.delete, lambda name, matches: library.change(name, lambda *_: 1, matches)):
        with pytest.raises(PreconditionFailed) as caught:
            call("a", lambda present: present == version)
        assert caught.value.extra == {"version": library.open("a").version}
    assert library.read("a")[1] == UI
    library.delete("a", lambda present: present != version)


def test_a_failed_change_changes_nothing(library: Library) -> None:
    library.save("a", API, overwrite=True)

    def fail(*_: Any) -> Any:
        raise GatewayError("no")

    for change in (fail, lambda *_: {"x": float("inf")}):
        with pytest.raises((GatewayError, InvalidWorkflow)):
            library.change("a", change)
    assert library.read("a")[1] == API
    assert library.versions("a") == []


def test_no_change_is_lost_between_threads(library: Library) -> None:
    library.save("a", {"count": 0}, overwrite=True)
    threads = [
        threading.Thread(
            target=library.change, args=("a", lambda _, present: {"count": present["count"] + 1})
        )
        for _ in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert library.read("a")[1] == {"count": 20}
    assert len(library.versions("a")) == 20


def test_a_disk_that_is_full(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    library.save("a", API, overwrite=True)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(versions, "write_atomically", full)
    for call in (lambda: library.save("a", UI, overwrite=True), lambda: library.delete("a")):
        with pytest.raises(StorageFull):
            call()
    assert library.read("a")[1] == API


def test_processes_that_share_the_folder_do_not_save_over_each_other(tmp_path: Path) -> None:
    """Two libraries have nothing in common but the folder, as two processes have."""
    one, other = Library(tmp_path), Library(tmp_path)
    before = one.save("a.json", {"1": API["1"]}, overwrite=False).version
    under_way, go_on = threading.Event(), threading.Event()

    def slowly(name: str, workflow: Any) -> Any:
        under_way.set()
        assert go_on.wait(10)
        return {**workflow, "first": workflow["1"]}

    def second(name: str, workflow: Any) -> Any:
        return {**workflow, "second": workflow["1"]}

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(one.change, "a.json", slowly, before.__eq__)
        assert under_way.wait(10)
        late = threads.submit(other.change, "a.json", second, before.__eq__)
        with pytest.raises(TimeoutError):
            late.result(0.2)  # it waits its turn
        go_on.set()
        first.result(10)
        with pytest.raises(PreconditionFailed):
            late.result(10)
    assert set(other.open("a.json").workflow) == {"1", "first"}


def test_a_listing_reads_what_has_changed_only(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path, most: int) -> bytes:
        read.append(path.name)
        return read_regular(path, most)

    for n in range(20):
        (library.folder / f"{n:02}.json").write_text(
            json.dumps(API if n % 2 else UI), encoding="utf-8"
        )
    (library.folder / "broken.json").write_text("{", encoding="utf-8")
    (library.folder / "huge.json").write_bytes(b" " * (9 << 20))
    (library.folder / "many.json").write_bytes(b"[" + b"[]," * 300_000 + b"[]]")
    monkeypatch.setattr("app.workflows.saved.library.read_regular", counted)
    first = library.list()
    assert [entry.format for entry in first] == [*[Format.UI, Format.API] * 10, None, None, None]
    assert sorted(read) == [*(f"{n:02}.json" for n in range(20)), "broken.json", "many.json"]
    read.clear()
    assert library.list() == first
    assert read == []
    (library.folder / "03.json").write_text(json.dumps(UI, indent=1), encoding="utf-8")
    os.utime(library.folder / "03.json", ns=(1, 1))
    assert library.list()[3].format is Format.UI
    assert read == ["03.json"]


@pytest.mark.skipif(os.name != "posix", reason="names are bytes on POSIX only")
def test_names_that_are_no_text_are_in_no_listing(library: Library) -> None:
    for name in (
        b"\xff.json",
        b"caf\xe9.JSON",
        b"half\xed\xa0\x80.json",
        "caf\u00e9.json".encode(),
    ):
        with suppress(OSError):  # some file systems refuse such names
            (library.folder / os.fsdecode(name)).write_text("{}", encoding="utf-8")
    assert [entry.filename for entry in library.list()] == ["caf\u00e9.json"]
    assert library.versions("caf\u00e9.json") == []


def test_what_a_listing_reads_at_once_has_a_bound(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(json.dumps(API))
    for n in range(4):
        (library.folder / f"{n}.json").write_text(json.dumps(API), encoding="utf-8")
    monkeypatch.setattr("app.workflows.saved.library.READ_AT_ONCE", 3 * size)
    assert [entry.format for entry in library.list()] == [*[Format.API] * 3, None]
    assert [entry.format for entry in library.list()] == [Format.API] * 4


def test_a_file_that_is_too_large_is_not_read_and_not_written(library: Library) -> None:
    (library.folder / "huge.json").write_bytes(b" " * (9 << 20))
    with pytest.raises(InvalidJson, match="9437184 bytes"):
        library.open("huge.json")
    with pytest.raises(InvalidWorkflow, match="are allowed"):
        library.save("b.json", {"1": {"class_type": "x" * (9 << 20)}}, overwrite=False)
    deep: Any = 1
    for _ in range(90):
        deep = [deep]
    wide = {"1": {"class_type": "A", "inputs": {"a": [deep] * 2_500}}}  # 40 times as much in lines
    library.save("c.json", wide, overwrite=False)
    assert library.open("c.json").workflow == wide


def test_a_folder_that_stays_locked(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    """As one that may not be written seems to be on Windows."""
    monkeypatch.setattr("app.workflows.saved.library.LOCK_WAIT", 0.05)
    with FileLock(library.folder / ".lock"), pytest.raises(StorageFull, match="locked"):
        library.save("a", API, overwrite=False)
    library.save("a", API, overwrite=False)
