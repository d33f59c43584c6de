"""Entries of ComfyUI's history: how a run ended, and when."""

import pytest

from app.comfyui.history import HistoryEntry
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


@pytest.mark.parametrize("raw", [{}, {"status": None}, {"status": {"messages": [1, [], ["x", 2]]}}])
def test_strange_entries_are_read(raw: dict[str, object]) -> None:
    assert end_of(HistoryEntry.read(raw)) == "success"


def test_an_error_without_a_message_is_an_error() -> None:
    entry = HistoryEntry.read({"status": {"status_str": "error", "messages": []}})
    assert end_of(entry) == "error"
