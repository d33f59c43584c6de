"""States of a task."""

from app.tasks.model import ACTIVE, TERMINAL, TRANSITIONS, Progress, Status, Task, sources_of

TASK = Task(
    seq=1,
    task_id="t",
    status=Status.RUNNING,
    priority=0,
    created_at=1_700_000_000.25,
    started_at=1_700_000_001.0,
    finished_at=None,
    server="s",
    wanted_server=None,
    client_id="c",
    runner_id="o",
    submitted_at=1_700_000_000.5,
    cancel_reason=None,
    timeout=5,
    filename=None,
    retry_of=None,
    batch_id=None,
    requirements_id="",
    shape="",
    expected=None,
    params={},
    metadata={},
    progress=Progress(),
    error=None,
    attempts=(),
    warnings=(),
)


# -- states -------------------------------------------------------------------------------------
def test_every_status_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert set(Status) == ACTIVE | TERMINAL
    for status in TERMINAL:
        assert not TRANSITIONS[status] & ACTIVE, "what has ended stays so"
    for status in ACTIVE:
        assert TRANSITIONS[status] & TERMINAL, "everything can end"


def test_sources() -> None:
    assert set(sources_of(Status.CANCELED)) == {
        Status.CANCELED,
        Status.QUEUED,
        Status.RUNNING,
        Status.CANCELING,
    }
