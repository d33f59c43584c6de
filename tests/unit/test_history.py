"""How recorded prompts ended, as their histories tell it."""

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
    assert results_of("1", {"text": ["a", "b", "c"]}) == [TextResult("1", "text", "abc")]
    assert results_of("1", {"text": "whole"}) == [TextResult("1", "text", "whole")]
    file = {"filename": "a.glb", "subfolder": None, "type": "strange"}
    assert results_of("1", {"3d": file}) == [FileResult("1", "3d", "a.glb", "", "output")]


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
