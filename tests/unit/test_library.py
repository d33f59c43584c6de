"""What counts as a workflow, under which names it is kept, and what the library keeps."""

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
from hypothesis import given
from hypothesis import strategies as st

from app.errors import (
    GatewayError,
    InvalidInput,
    InvalidJson,
    InvalidWorkflow,
    PreconditionFailed,
    StorageFull,
    VersionNotFound,
    WorkflowExists,
    WorkflowFormatUnsupported,
    WorkflowNotFound,
)
from app.files.stores.atomic import read_regular
from app.workflows.formats import Format, unwrap
from app.workflows.json_text import parse_json, parse_leniently
from app.workflows.saved import versions
from app.workflows.saved.library import Library
from app.workflows.saved.names import checked_name, fold, name_for_image
from tests.conftest import ROOT, model_free

API = model_free()
UI = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}
EXTRA = {"extra_pnginfo": {"workflow": UI}, "client_id": "x"}


# -- formats ------------------------------------------------------------------------------------


def entry(item: list[Any]) -> dict[str, Any]:
    return {"prompt": item, "outputs": {}, "status": {"completed": True}, "meta": {}}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ({"workflow": API}, Format.API),
        ({"workflow": UI}, Format.UI),
        ({"workflow": {"workflow": API}}, Format.API),
        ({"prompt": API, "extra_data": EXTRA, "client_id": "x"}, Format.API),
        ({"prompt": {}, "extra_data": EXTRA}, Format.UI),
        ({"prompt": API, "workflow": UI}, Format.API),
        ({"workflow": UI, "prompt": API}, Format.API),
        ([3, "id", API, EXTRA, ["9"]], Format.API),
        ([3.5, "id", API], Format.API),
        ([3, "id", {}, EXTRA, []], Format.UI),
        (entry([3, "id", API, EXTRA, []]), Format.API),
        ({"id": entry([3, "id", API, EXTRA, []])}, Format.API),
        ({"workflow": {"id": entry([3, "id", API, {}, []])}}, Format.API),
    ],
)
def test_what_is_wrapped_around_a_workflow(value: Any, kind: Format) -> None:
    assert unwrap(value) == (kind, API if kind is Format.API else UI)


def test_what_comfyuis_history_answers() -> None:
    history = json.loads((ROOT / "tests/fixtures/pictures/history.json").read_text())
    kind, graph = unwrap(history)
    assert (kind, graph["1"]["class_type"]) == (Format.API, "EmptyImage")


def test_wrapping_has_an_end() -> None:
    value: Any = API
    for _ in range(20):
        value = {"workflow": value}
    with pytest.raises(WorkflowFormatUnsupported, match="the keys 'workflow'"):
        unwrap(value)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": entry([1, "a", API]), "b": entry([2, "b", API])}, "a history of 2 prompts"),
        ([1, 2, API], "an array of 3 items"),
        ([API], "an array of 1 items"),
        ({"extra_data": []}, "'extra_data'"),
        ({"prompt": [1, "x"]}, "'prompt'"),
    ],
)
def test_what_is_no_workflow(value: Any, words: str) -> None:
    with pytest.raises(WorkflowFormatUnsupported) as caught:
        unwrap(value)
    assert words in caught.value.detail


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


@given(ANYTHING)
def test_arbitrary_json_gives_a_graph_or_our_error(value: Any) -> None:
    with suppress(WorkflowFormatUnsupported):
        assert isinstance(unwrap(value)[1], dict)


@given(st.binary() | ANYTHING.map(lambda value: json.dumps(value).encode()))
def test_arbitrary_bytes_are_json_or_our_error(body: bytes) -> None:
    for parse in (parse_json, parse_leniently):
        with suppress(InvalidJson):
            json.dumps(parse(body)).encode()
    with suppress(InvalidJson):
        json.dumps(parse_leniently(body), allow_nan=False)


# -- names --------------------------------------------------------------------------------------

BAD_NAMES = [
    *("", ".", "..", ".json", "..json", "...", " ", " a", "_a", "-a", ".hidden", ".versions"),
    *("../a", "../../etc/passwd", "a/../../b", "a/b", "/etc/passwd", "~/a", "a\\b", "..\\a"),
    *("C:\\a", "C:a", "\\\\host\\a", "a:b", "a\0b", "a\nb", "a\u202eb", "a\u200bb", "a\ud800"),
    *("....//a", "a..b", "%2e%2e/a", "a%00", "a?b", "a*b", "a|b", "<a>", 'a"b', "a;b", "$a", "#"),
    *("CON", "con.json", "Nul", "aux.txt.json", "PRN .json", "com1", "COM9.json", "lpt0", "COM¹"),
    *("x" * 201, "x" * 196 + ".json", "猫" * 70, "\u0301a"),
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_bad_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        checked_name(name)
    assert caught.value.hint
    caught.value.detail.encode()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a", "a.json"),
        ("A.JSON", "A.json"),
        ("My flow (2).v1-b_c.json", "My flow (2).v1-b_c.json"),
        ("e\u0301te\u0301", "été.json"),
        ("नमस्ते", "नमस्ते.json"),
        ("猫", "猫.json"),
        ("console", "console.json"),
        ("com10", "com10.json"),
        ("x" * 195, "x" * 195 + ".json"),
    ],
)
def test_a_good_name(name: str, kept: str) -> None:
    assert checked_name(name) == unicodedata.normalize("NFC", kept)


@given(st.text(max_size=100) | st.text("./\\ aCON:é\u0301", max_size=12))
def test_any_name_stays_in_its_folder(name: str) -> None:
    with suppress(InvalidInput):
        checked = checked_name(name)
        assert Path("/folder", checked).parent == Path("/folder")
        assert checked_name(checked) == checked
        assert fold(fold(checked)) == fold(checked)
        os.fsencode(checked)


def test_the_name_for_a_workflow_out_of_a_picture() -> None:
    assert name_for_image("a.PNG") == name_for_image("a.webp") == "a.json"
    assert name_for_image("a.json") == "a.json"
    assert name_for_image("a") == "a"


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
    (library.folder / decomposed).write_text(json.dumps(API))
    assert library.read("été") == (decomposed, API)


def test_two_files_that_differ_in_case_are_both_reached(library: Library) -> None:
    for name, content in (("A.json", API), ("a.json", UI)):
        (library.folder / name).write_text(json.dumps(content))
    assert library.read("A") == ("A.json", API)
    assert library.read("a") == ("a.json", UI)
    for color in (1, 2):
        library.save("A", model_free(color), overwrite=True)
    library.save("a", model_free(3), overwrite=True)
    version = library.versions("a")[0].id
    assert library.restore("a", version).filename == "a.json"
    assert library.read("A") == ("A.json", model_free(2))


def test_every_former_content_is_kept(library: Library) -> None:
    for color in range(4):
        library.save("a", model_free(color), overwrite=True)
    library.save("a", model_free(3), overwrite=True)  # the same again
    kept = library.versions("A.json")
    assert [library.version("a", v.id).workflow for v in kept] == [
        model_free(color) for color in (2, 1, 0)
    ]
    assert [v.id for v in kept] == sorted((v.id for v in kept), reverse=True)
    assert names(library) == ["a.json"]


def test_a_version_keeps_the_time_of_its_own_save(library: Library) -> None:
    library.save("a", API, overwrite=True)
    os.utime(library.folder / "a.json", (1000, 1000))
    library.save("a", UI, overwrite=True)
    assert library.versions("a")[0].saved_at == 1000


def test_the_oldest_versions_go(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "KEPT", 3)
    for color in range(6):
        library.save("a", model_free(color), overwrite=True)
    kept = [library.version("a", v.id).workflow for v in library.versions("a")]
    assert kept == [model_free(color) for color in (4, 3, 2)]


def padded(size: int) -> dict[str, Any]:
    """A workflow whose file has more bytes than that."""
    graph = model_free()
    next(iter(graph.values()))["_meta"] = {"title": "x" * size}
    return graph


@pytest.mark.parametrize(
    ("most", "kept", "size"),
    [(1000, 64_000, 2000), (100_000, 64_000, 65_000), (1000, 64_000, 63_000)],
)
def test_a_file_is_replaced_whatever_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, kept: int, size: int
) -> None:
    """Whether it is larger than what may be saved, or than what is kept of those that are."""
    monkeypatch.setattr(versions, "MAX_BYTES", kept)
    library, large = Library(tmp_path, max_bytes=most), padded(size)
    (tmp_path / "big.json").write_text(json.dumps(large))
    assert library.save("big", API, overwrite=True).workflow == API
    assert [library.version("big", v.id).workflow for v in library.versions("big")] == [large]
    library.restore("big", library.versions("big")[0].id)
    if size < most:
        library.delete("big")
        assert names(library) == []


def test_what_is_too_large_to_be_kept_is_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "MAX_BYTES", 3000)
    library = Library(tmp_path, max_bytes=1000)
    content = json.dumps(padded(4000))
    (tmp_path / "big.json").write_text(content)
    library.save("small", API, overwrite=True)
    library.save("small", UI, overwrite=True)
    version = library.versions("small")[0].id
    (tmp_path / ".versions" / "small.json" / f"{version}.json").write_text(content)
    for attempt in (
        lambda: library.save("big", API, overwrite=True),
        lambda: library.version("small", version),
        lambda: library.restore("small", version),
    ):
        with pytest.raises(InvalidJson, match="may have 3000"):
            attempt()
    assert (tmp_path / "big.json").read_text() == content


def test_a_deleted_file_comes_back(library: Library) -> None:
    library.save("My Flow", API, overwrite=True)
    library.delete("my flow")
    with pytest.raises(WorkflowNotFound):
        library.read("My Flow")
    version = library.versions("my flow")[0].id
    assert library.restore("my flow", version).filename == "My Flow.json"
    assert library.read("My Flow") == ("My Flow.json", API)


def test_restore_is_a_save_with_a_version(library: Library) -> None:
    library.save("a", API, overwrite=True)
    library.save("a", UI, overwrite=True)
    restored = library.restore("a", library.versions("a")[0].id)
    assert restored == library.open("a")
    assert restored.workflow == API
    assert library.version("a", library.versions("a")[0].id).workflow == UI


def test_no_version_of_a_broken_file_is_made_the_present_one(library: Library) -> None:
    (library.folder / "a.json").write_text("{")
    library.save("a", API, overwrite=True)
    with pytest.raises(InvalidJson):
        library.restore("a", library.versions("a")[0].id)
    assert library.read("a") == ("a.json", API)


@pytest.mark.parametrize("version", ["", ".", "..", "../../a", "/etc/passwd", "x", "a\0", "é"])
def test_versions_that_are_not_there(library: Library, version: str) -> None:
    library.save("a", API, overwrite=True)
    for method in (library.version, library.restore):
        with pytest.raises(VersionNotFound):
            method("a", version)


def test_versions_of_nothing(library: Library) -> None:
    with pytest.raises(WorkflowNotFound):
        library.versions("a")
    library.save("a", API, overwrite=True)
    assert library.versions("a") == []


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
        (library.folder / f"{n:02}.json").write_text(json.dumps(API if n % 2 else UI))
    (library.folder / "broken.json").write_text("{")
    (library.folder / "huge.json").write_bytes(b" " * (9 << 20))
    (library.folder / "many.json").write_bytes(b"[" + b"[]," * 300_000 + b"[]]")
    monkeypatch.setattr("app.workflows.saved.library.read_regular", counted)
    first = library.list()
    assert [entry.format for entry in first] == [*[Format.UI, Format.API] * 10, None, None, None]
    assert sorted(read) == [*(f"{n:02}.json" for n in range(20)), "broken.json", "many.json"]
    read.clear()
    assert library.list() == first
    assert read == []
    (library.folder / "03.json").write_text(json.dumps(UI, indent=1))
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
            (library.folder / os.fsdecode(name)).write_text("{}")
    assert [entry.filename for entry in library.list()] == ["caf\u00e9.json"]
    assert library.versions("caf\u00e9.json") == []


def test_what_a_listing_reads_at_once_has_a_bound(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(json.dumps(API))
    for n in range(4):
        (library.folder / f"{n}.json").write_text(json.dumps(API))
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
