"""A task as JSON."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.tasks.model import Attempt, Output
from app.tasks.view import moment, task_view, timestamp
from tests.unit.tasks.test_model import TASK


# -- view ---------------------------------------------------------------------------------------
def test_times_are_iso_in_utc() -> None:
    assert timestamp(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
    assert timestamp(None) is None


@pytest.mark.parametrize(
    ("started_at", "ended_at", "ran"), [(None, None, False), (5.0, None, True), (5.0, 9.0, False)]
)
def test_an_attempt_runs_as_soon_as_its_task(
    started_at: float | None, ended_at: float | None, ran: bool
) -> None:
    before = Attempt("a", 1.0, 2.0, "server_lost", "lost", ran=False)
    task = replace(TASK, started_at=started_at, attempts=(before, Attempt("b", 4.0, ended_at)))
    assert [attempt["ran"] for attempt in task_view(task)["attempts"]] == [False, ran]


def test_urls_in_outputs_are_quoted() -> None:
    output = Output("9", "image", "a b#?.png", subfolder="x/y", type="temp", key="t/a")
    view = task_view(replace(TASK, outputs=(output,)))
    assert view["outputs"][0]["url"] == (
        "/api/image/a%20b%23%3F.png?task_id=t&subfolder=x%2Fy&type=temp"
    )


@pytest.mark.parametrize(
    "seconds", [0, 1, 1.0005, 1_700_000_000.9996, 1_700_000_000.9999998, 1_764_375_123.4567, 4e9]
)
def test_a_moment_is_that_of_datetime(seconds: float) -> None:
    wanted = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    assert moment(seconds) == moment(seconds) == wanted.replace("+00:00", "Z")
