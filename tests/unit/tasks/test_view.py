"""A task as JSON."""

from dataclasses import replace

from app.tasks.model import Output
from app.tasks.view import task_view, timestamp
from tests.unit.tasks.test_model import TASK


# -- view ---------------------------------------------------------------------------------------
def test_times_are_iso_in_utc() -> None:
    assert timestamp(1_700_000_000.25) == "2023-11-14T22:13:20.250Z"
    assert timestamp(None) is None


def test_urls_in_outputs_are_quoted() -> None:
    output = Output("9", "image", "a b#?.png", subfolder="x/y", type="temp", key="t/a")
    view = task_view(replace(TASK, outputs=(output,)))
    assert view["outputs"][0]["url"] == (
        "/api/image/a%20b%23%3F.png?task_id=t&subfolder=x%2Fy&type=temp"
    )
