"""Every former content of a saved workflow is kept as a version."""

import json
import os
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from app.errors import InvalidJson, VersionNotFound, WorkflowNotFound
from app.workflows.saved import versions
from app.workflows.saved.library import Library
from tests.conftest import model_free

API = model_free()
UI = {"nodes": [{"id": 1, "type": "EmptyImage"}], "links": [], "version": 0.4}


# -- formats ------------------------------------------------------------------------------------
def entry(item: list[Any]) -> dict[str, Any]:
    return {"prompt": item, "outputs": {}, "status": {"completed": True}, "meta": {}}


# -- the library --------------------------------------------------------------------------------
@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "workflows")


def names(library: Library) -> list[str]:
    return [entry.filename for entry in library.list()]


@pytest.fixture(params=["goes on", "stands still", "is set back"])
def clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of Windows stand still for 1/64 s."""
    step = {"goes on": 0.001, "stands still": 0.0, "is set back": -0.001}[request.param]
    told = count(1_790_000_000.0, step)
    monkeypatch.setattr(versions, "time", SimpleNamespace(time=lambda: next(told)))


@pytest.mark.usefixtures("clock")
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


@pytest.mark.usefixtures("clock")
def test_the_oldest_versions_go(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "MAX_VERSIONS", 3)
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
    (tmp_path / "big.json").write_text(json.dumps(large), encoding="utf-8")
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
    (tmp_path / "big.json").write_text(content, encoding="utf-8")
    library.save("small", API, overwrite=True)
    library.save("small", UI, overwrite=True)
    version = library.versions("small")[0].id
    (tmp_path / ".versions" / "small.json" / f"{version}.json").write_text(
        content, encoding="utf-8"
    )
    for attempt in (
        lambda: library.save("big", API, overwrite=True),
        lambda: library.version("small", version),
        lambda: library.restore("small", version),
    ):
        with pytest.raises(InvalidJson, match="may have 3000"):
            attempt()
    assert (tmp_path / "big.json").read_text(encoding="utf-8") == content


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
    (library.folder / "a.json").write_text("{", encoding="utf-8")
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
