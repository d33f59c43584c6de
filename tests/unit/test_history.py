"""How recorded prompts ended, as their histories tell it."""

from typing import Any

import pytest

from app.comfyui.history import HistoryEntry
from app.comfyui.results import FileResult, TextResult, results_of
from tests.unit.recordings import VERSIONS, histories

Ends = dict[str, set[str]]


def end_of(entry: HistoryEntry) -> str:
    if entry.error:
        return "error"
    return "interrupted" if entry.interrupted else "success"


@pytest.fixture(params=VERSIONS, scope="module")
def ends(request: pytest.FixtureRequest) -> Ends:
    found: Ends = {}
    for case, raw in histories(request.param):
        found.setdefault(case, set()).add(end_of(HistoryEntry.read(raw)))
    return found


def test_ordinary_ends(ends: Ends) -> None:
    assert ends["model_free_save"] == {"success"}
    assert ends["execution_error_type_error"] == {"error"}
    assert ends["async_node_error"] == {"error"}


def test_an_interrupt_is_no_error(ends: Ends) -> None:
    # ComfyUI's own status_str says "error" for these
    assert ends["interrupt_running_by_prompt_id"] == {"interrupted"}
    assert ends["interrupt_during_middle_node"] == {"interrupted"}


def test_an_interrupt_in_the_last_node_is_a_success(ends: Ends) -> None:
    assert ends["interrupt_during_last_node"] == {"success"}


def test_a_cycle_found_while_running_is_an_error(ends: Ends) -> None:
    # ComfyUI's own status_str says "success" for it
    assert "error" in ends["poison_cycle_through_unknown_input"]
    assert "error" in ends["error_inside_expansion"]


def test_a_blocked_node_is_no_error(ends: Ends) -> None:
    assert ends["execution_blocker_verbose"] == {"success"}


@pytest.mark.parametrize("version", VERSIONS)
def test_times_are_seconds(version: str) -> None:
    for case, raw in histories(version):
        entry = HistoryEntry.read(raw)
        assert entry.started_at is not None, case
        assert entry.finished_at is not None, case
        assert 0 <= entry.finished_at - entry.started_at < 100, case
        assert 1.7e9 < entry.started_at < 1.9e9


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


@pytest.mark.parametrize("raw", [{}, {"status": None}, {"status": {"messages": [1, [], ["x", 2]]}}])
def test_strange_entries_are_read(raw: dict[str, object]) -> None:
    assert end_of(HistoryEntry.read(raw)) == "success"


def test_an_error_without_a_message_is_an_error() -> None:
    entry = HistoryEntry.read({"status": {"status_str": "error", "messages": []}})
    assert end_of(entry) == "error"
