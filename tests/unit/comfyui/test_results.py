"""The results of a run, in what nodes report."""

from typing import Any

import pytest

from app.comfyui.history import HistoryEntry
from app.comfyui.results import FileResult, TextResult, results_of
from tests.unit.recordings import VERSIONS, histories


@pytest.mark.parametrize("version", VERSIONS)
def test_results_of_every_recorded_output(version: str) -> None:
    keys = set()
    for _, raw in histories(version):
        for node_id, output in HistoryEntry.read(raw).outputs.items():
            for result in results_of(node_id, output):
                keys.add(result.key)
                if isinstance(result, FileResult):
                    assert result.type in ("output", "temp")
                    assert "." in result.filename
    assert {"images", "audio", "text", "latents"} <= keys


def test_results_of_odd_outputs() -> None:
    assert results_of("1", None) == []
    assert results_of("1", {"images": [None, 1, {"filename": 3}], "animated": [True]}) == []
    assert results_of("1", {"text": "whole"}) == [TextResult("1", "text", "whole")]
    file = {"filename": "a.glb", "subfolder": None, "type": "strange"}
    assert results_of("1", {"3d": file}) == [FileResult("1", "3d", "a.glb", "", "output")]


def told(output: dict[str, Any]) -> list[Any]:
    """The texts with what marks them."""
    found = results_of("1", output)
    return [(r.text, r.copy, r.is_item) for r in found if isinstance(r, TextResult)]


def test_equal_texts_are_counted() -> None:
    texts = ["a cat", "a cat", "", "a dog", "a cat"]
    expected = [(text, copy, False) for text, copy in zip(texts, (0, 1, 0, 0, 2), strict=True)]
    assert told({"text": texts}) == told({"captions": texts}) == expected
    assert told({"text": ["x y"], "other": ["x y"]}) == [("x y", 0, False), ("x y", 1, False)]
    assert told({"text": ["many", 3, True]}) == [(t, 0, False) for t in ("many", "3", "true")]


def test_a_list_of_single_characters_may_be_a_split_text() -> None:
    assert told({"text": list("121")}) == [
        ("121", 0, False),
        *[("1", 0, True), ("2", 0, True), ("1", 1, True)],
    ]
    assert told({"text": list("a red fox")}) == [("a red fox", 0, False)], "no list has blanks"
    assert told({"text": list("x" * 257)}) == [("x" * 257, 0, False)], "it is the list all the same"
    assert told({"text": ["1", "", "2"]}) == [(t, 0, False) for t in ("1", "", "2")], "no text"
    assert told({"text": ["1"]}) == told({"text": "1"}) == [("1", 0, False)]


def test_a_file_that_is_named_again() -> None:
    one, other = {"filename": "a.png"}, {"filename": "b.png"}
    found = results_of("1", {"images": [one, one, other], "gifs": [one]})
    assert [(r.filename, r.copy) for r in found if isinstance(r, FileResult)] == [
        *[("a.png", 0), ("a.png", 1), ("b.png", 0)],
        ("a.png", 0),
    ], "under another key it is the same"


def test_results_under_keys_that_nobody_has_seen() -> None:
    file = {"filename": "a.xyz", "subfolder": "s", "type": "temp", "format": "video/h264-mp4"}
    found = results_of("1", {"new_key": [file], "tags": ["1girl, solo"], "count": [3, None, ""]})
    assert found == [
        FileResult("1", "new_key", "a.xyz", "s", "temp"),
        TextResult("1", "tags", "1girl, solo"),
    ]
    assert results_of("1", {"blob": ["x" * 200_000]}) == []
    assert len(results_of("1", {"text": ["x" * 200_000]})) == 1


def test_a_model_that_is_named_as_a_string() -> None:
    found = results_of("1", {"result": ["mesh/fox_00001_.glb", {"position": 1}, "", "done"]})
    assert found == [FileResult("1", "result", "fox_00001_.glb", "mesh", "output", optional=True)]
    for path in ("/etc/a.glb", "../a.glb", "a/../../b.glb", "C:/a.glb"):
        assert results_of("1", {"result": [path]}) == []
