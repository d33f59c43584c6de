"""States, progress, outcomes and the hub: the pure parts of tasks."""

import asyncio
import json
from contextlib import suppress
from dataclasses import fields, replace
from typing import Any

import pytest

from app.comfyui.events import (
    Executed,
    Executing,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    NodeState,
    ProgressState,
)
from app.comfyui.events import Progress as Step
from app.comfyui.history import HistoryEntry
from app.errors import QueueFull
from app.events.hub import Hub
from app.events.subscription import QUEUE_LIMIT, Closed, Overrun
from app.runner.paid_node_keys import ApiKeys
from app.runner.progress import LARGE, Tracker
from app.runner.stage_inputs import readable_outcome
from app.tasks.model import (
    ACTIVE,
    TERMINAL,
    TRANSITIONS,
    Attempt,
    CancelReason,
    NewTask,
    Output,
    Progress,
    Status,
    Task,
    TaskError,
    fields_of,
    sources_of,
)
from app.tasks.outcome import (
    NAMES,
    Canceled,
    Failed,
    Lost,
    Moved,
    Succeeded,
    bounded,
    forgotten,
    judge,
    may_try_again,
    reworded,
)
from app.tasks.view import task_view, timestamp
from tests.conftest import text_to_image

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
    owner="o",
    submitted_at=1_700_000_000.5,
    cancel_reason=None,
    timeout=5,
    filename=None,
    retry_of=None,
    batch_id=None,
    route="",
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


# -- texts of errors ----------------------------------------------------------------------------

MARK = "gw-01234567-0123456789abcdef0123456789abcdef.png"


# By the type of a field: a value with the mark in each of its texts. A new type fails until it is
# said here where texts are in it.
MARKED: dict[Any, Any] = {
    str: MARK,
    str | None: MARK,
    tuple[str, ...]: (MARK, f"a {MARK} b"),
    dict[str, Any] | None: {"1": {"errors": [{"details": MARK, "more": [MARK, {"a": [7, MARK]}]}]}},
}


@pytest.mark.parametrize("end", [Failed, Canceled])
def test_every_text_of_an_error_is_reworded(end: type[Failed | Canceled]) -> None:
    texts = {item.name: MARKED[item.type] for item in fields(TaskError)}
    error = TaskError(**{**texts, **dict.fromkeys(NAMES, "name")})
    task = replace(TASK, needs_key=True)
    keys = ApiKeys()
    with keys.queueing([NewTask("t", {}, needs_key=True, secrets={"api_key_comfy_org": MARK})]):
        pass
    for outcome in (
        reworded(end(error), lambda text: text.replace(MARK, "x")),
        readable_outcome(end(error), {MARK: "x"}),
        keys.without(task, end(error)),
    ):
        said = outcome.error
        assert said is not None
        assert MARK not in json.dumps(fields_of(said))
        for name, value in fields_of(said).items():
            assert type(value) is type(getattr(error, name)), "only the texts are others"
            assert name in NAMES or value != getattr(error, name)
    named = end(TaskError(MARK, "", MARK, MARK))
    assert keys.without(task, named) == named, "names are the workflow's own"


def test_keys_of_a_task_stay_when_another_one_wants_its_id() -> None:
    keys, task = ApiKeys(), replace(TASK, needs_key=True)
    first, other = (
        NewTask("t", {}, needs_key=True, secrets={"api_key_comfy_org": word}) for word in "ab"
    )
    with keys.queueing([first]):
        with suppress(QueueFull), keys.queueing([other]):
            assert keys.extra_data(task) == first.secrets
            raise QueueFull("")
        assert keys.extra_data(task) == first.secrets
    with suppress(QueueFull), keys.queueing([other]):
        raise QueueFull("")
    assert keys.extra_data(task) == first.secrets
    with suppress(QueueFull), keys.queueing([replace(first, task_id="u")]):
        with keys.queueing([replace(other, task_id="u")]):
            pass
        raise QueueFull("")
    assert keys.extra_data(replace(task, task_id="u")) == other.secrets, "it was the faster one"
    with keys.queueing([other]):  # the former task is gone
        pass
    assert keys.extra_data(task) == other.secrets


# -- progress -----------------------------------------------------------------------------------


def test_progress_follows_a_run() -> None:
    tracker = Tracker(text_to_image(steps=4))
    events: list[Any] = [
        ExecutionCached("p", ("4",)),
        Executing("p", "6", "6"),
        ProgressState("p", {"4": NodeState("finished", 1, 1), "6": NodeState("finished", 1, 1)}),
        Executing("p", "3", "3"),
        Step("p", "3", 2, 4),
    ]
    values = []
    for event in events:
        tracker.apply(event)
        values.append(tracker.progress.value)
    assert values == sorted(values)
    progress = tracker.progress
    assert (progress.nodes_done, progress.nodes_total) == (2, 7)
    assert (progress.current_node, progress.class_type) == ("3", "KSampler")
    assert (progress.step, progress.steps) == (2, 4)
    # One node of six is done, of which the sampler weighs four: what is cached is no work.
    assert progress.value == pytest.approx((1 + 2) / (5 + 4), abs=1e-4)
    assert tracker.complete().value == 1


def test_progress_weighs_nodes_by_what_they_took() -> None:
    prompt = text_to_image(steps=4)
    tracker = Tracker(prompt, took={"3": 8.0, "8": 1.0, "9": 1.0})
    tracker.apply(ExecutionCached("p", ("4", "5", "6", "7")), 0.0)
    tracker.apply(Executing("p", "3", "3"), 1.0)
    tracker.apply(Step("p", "3", 2, 4), 5.0)
    assert tracker.progress.value == pytest.approx(4 / 10)
    tracker.apply(Executing("p", "8", "8"), 9.0)
    tracker.apply(Executing("p", None, None), 9.5)
    assert tracker.ran == {"3": 8.0, "8": 0.5}


def test_progress_tells_the_times_of_nodes() -> None:
    tracker = Tracker(text_to_image())
    tracker.apply(ExecutionCached("p", ("4",)), 0.0)
    tracker.apply(Executing("p", "6", "6"), 1.0)
    tracker.apply(ProgressState("p", {"6": NodeState("finished", 1, 1)}), 1.5)
    assert tracker.progress.node_seconds == {"4": None, "6": 0.5}
    again = Tracker(text_to_image(), tracker.progress)
    again.apply(Executing("p", "3", "3"), 9.0)
    assert again.progress.node_seconds == {"4": None, "6": 0.5}, "a restart forgets nothing"
    assert again.progress.nodes_done == 2


@pytest.mark.parametrize("nodes", [3, LARGE, LARGE + 1, 1000])
@pytest.mark.parametrize("every", [0.0, 0.004, 0.03, 1.0])
def test_progress_that_was_not_told_with_its_event_is_told_with_a_later_one(
    nodes: int, every: float
) -> None:
    node = {"class_type": "KSampler", "inputs": {"latent_image": ["0", 0]}}
    tracker = Tracker({str(number): node for number in range(nodes)})
    kinds: list[Any] = [
        Executing("p", "1", "1"),
        Step("p", "1", 3, 4),
        ProgressState("p", {"1": NodeState("finished", 1, 1)}),
        Executing("p", "2", "2"),
        ExecutionCached("p", ("0",)),
    ]
    told, now = tracker.progress, 100.0
    for last in kinds:  # each of them may be the last one before a silence
        for event, pause in [*((kind, every) for kind in kinds), (last, every), (last, 10.0)]:
            now += pause
            if tracker.apply(event, now):
                assert tracker.progress != told, "nothing is told twice"
                told = tracker.progress
        assert tracker.progress == told


def test_progress_never_goes_back() -> None:
    tracker = Tracker(text_to_image(), Progress(value=0.9, nodes_done=6, nodes_total=7))
    tracker.apply(Step("p", "3", 1, 20))
    assert (tracker.progress.value, tracker.progress.nodes_done) == (0.9, 6)


def test_nodes_that_others_expanded_into_do_not_count() -> None:
    tracker = Tracker(text_to_image())
    tracker.apply(ProgressState("p", {"3.0.0.1": NodeState("finished", 1, 1)}))
    tracker.apply(Executed("p", "3.0.0.1", None))
    assert tracker.progress.nodes_done == 0
    tracker.apply(Executing("p", "3.0.0.1", "3"))
    assert tracker.progress.class_type == "KSampler"


def test_progress_says_whether_it_changed() -> None:
    tracker = Tracker(text_to_image())
    assert tracker.apply(Step("p", "3", 1, 4))
    assert not tracker.apply(Step("p", "3", 1, 4))


# -- outcomes -----------------------------------------------------------------------------------


def test_a_success() -> None:
    assert isinstance(judge(HistoryEntry(), TASK, []), Succeeded)


def test_a_success_without_its_files_is_none() -> None:
    outcome = judge(HistoryEntry(), TASK, [Output("9", "image", "a.png", error="gone")])
    assert isinstance(outcome, Failed)
    assert outcome.error.code == "output_unavailable"
    assert "a.png" in outcome.error.message


@pytest.mark.parametrize(
    ("kind", "code"),
    [("ValueError", "execution_error"), ("torch.cuda.OutOfMemoryError", "out_of_memory")],
)
def test_an_error(kind: str, code: str) -> None:
    error = ExecutionError("p", "3", "KSampler", kind, "it broke", ("line",))
    outcome = judge(HistoryEntry(error=error), TASK, [])
    assert isinstance(outcome, Failed)
    assert (outcome.error.code, outcome.error.node_id) == (code, "3")


@pytest.mark.parametrize(
    ("reason", "code"),
    [(CancelReason.REQUEST, None), (CancelReason.TIMEOUT, "timeout"), (None, "interrupted")],
)
def test_an_interrupt(reason: CancelReason | None, code: str | None) -> None:
    entry = HistoryEntry(interrupted=ExecutionInterrupted("p", "3", "KSampler"))
    outcome = judge(entry, replace(TASK, cancel_reason=reason), [])
    assert isinstance(outcome, Canceled)
    assert (outcome.error.code if outcome.error else None) == code


def tries(number: int) -> list[Attempt]:
    return [Attempt("s", 1.0, 2.0, "lost", "x", ran=True)] * number


def test_tries_of_what_was_lost() -> None:
    waiting = replace(TASK, status=Status.QUEUED, started_at=None)
    away, back = Lost("server_lost", "x"), Lost("server_restarted", "x")
    assert may_try_again(waiting, away, tries(9), 3, elsewhere=False), "it never ran"
    assert not may_try_again(TASK, away, tries(1), 3, elsewhere=False), "nobody could run it"
    assert may_try_again(TASK, away, tries(1), 3, elsewhere=True)
    assert may_try_again(TASK, back, tries(1), 3, elsewhere=False)
    assert not may_try_again(TASK, back, tries(3), 3, elsewhere=True), "it had its tries"
    canceling = replace(TASK, status=Status.CANCELING)
    assert may_try_again(canceling, away, tries(9), 3, elsewhere=False), "that ends it as canceled"
    assert may_try_again(TASK, Moved("drained"), tries(9), 3, elsewhere=False)
    waited = [replace(attempt, ran=False) for attempt in tries(9)]
    assert may_try_again(TASK, away, [*waited, *tries(1)], 3, elsewhere=True), "only runs count"


def test_what_a_server_takes_and_forgets_is_not_tried_for_ever() -> None:
    waiting = replace(TASK, status=Status.QUEUED, started_at=None)
    lost = forgotten("s")
    assert (lost.word, lost.code) == ("forgotten", "prompt_forgotten")
    gone = [replace(attempt, ran=False, outcome=lost.word) for attempt in tries(3)]
    assert may_try_again(waiting, lost, gone[:2], 3, elsewhere=False)
    assert not may_try_again(waiting, lost, gone, 3, elsewhere=True)
    away = [replace(attempt, ran=False, outcome="lost") for attempt in tries(9)]
    assert may_try_again(waiting, lost, [*away, *gone[:2]], 3, elsewhere=False), "free of count"
    canceling = replace(waiting, status=Status.CANCELING)
    assert may_try_again(canceling, lost, gone, 3, elsewhere=False), "that ends it as canceled"


@pytest.mark.parametrize(
    "outcome", [Moved("drained"), Lost("server_restarted", "x"), Lost("server_lost", "x")]
)
@pytest.mark.parametrize(("max_attempts", "most"), [(1, 20), (3, 20), (10, 50)])
def test_attempts_have_an_end(outcome: Lost | Moved, max_attempts: int, most: int) -> None:
    waiting = replace(TASK, status=Status.QUEUED, started_at=None)
    some = [replace(attempt, ran=False, outcome=outcome.word) for attempt in tries(most)]
    assert may_try_again(waiting, outcome, some[:-1], max_attempts, elsewhere=True)
    assert bounded(outcome, some[:-1], max_attempts) is outcome
    assert not may_try_again(waiting, outcome, some, max_attempts, elsewhere=True)
    last = bounded(outcome, some, max_attempts)
    assert last.status is Status.FAILED
    assert last.error is not None


@pytest.mark.parametrize("code", ["out_of_memory", "output_unavailable"])
def test_a_second_try_where_it_may_help(code: str) -> None:
    failed = Failed(TaskError(code, "x"), retryable=True)
    first = [Attempt("s", 1.0, 2.0, failed.word, "x", ran=True)]
    assert may_try_again(TASK, failed, first, 3, elsewhere=False)
    assert not may_try_again(TASK, failed, first * 2, 3, elsewhere=False), "once is enough"
    assert not may_try_again(TASK, failed, first, 1, elsewhere=False)
    for_good = replace(failed, retryable=False)
    assert not may_try_again(TASK, for_good, first, 3, elsewhere=True)


def test_a_bad_graph_is_not_tried_again_but_by_a_server_on_trial() -> None:
    failed = Failed(TaskError("execution_error", "x"))
    first = [Attempt("s", 1.0, 2.0, failed.word, "x", ran=True)]
    assert not may_try_again(TASK, failed, first, 3, elsewhere=True)
    assert may_try_again(TASK, failed, first, 3, elsewhere=False, doubtful=True)
    assert not may_try_again(TASK, failed, first * 3, 3, elsewhere=False, doubtful=True)


def test_results_gone_from_the_cache_are_worth_a_second_try() -> None:
    gone = [Output("9", "image", "a.png", error="gone")]
    for cached, retryable in ((frozenset({"9"}), True), (frozenset({"8"}), False)):
        outcome = judge(HistoryEntry(cached=cached), TASK, gone)
        assert isinstance(outcome, Failed)
        assert outcome.retryable is retryable


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


# -- hub ----------------------------------------------------------------------------------------


async def test_a_subscriber_gets_what_it_wants() -> None:
    hub = Hub()
    with hub.subscribe(["a"]) as mine, hub.subscribe(previews=True) as all_:
        hub.publish("a", "status", {"n": 1})
        hub.publish("b", "status", {"n": 2})
        hub.publish("a", "preview", {}, b"image")
        hub.publish("a", "status", {"n": 3})
        assert [(await mine.get()).data["n"] for _ in range(2)] == [1, 3]
        assert [(await all_.get()).type for _ in range(4)] == [
            "status",
            "status",
            "preview",
            "status",
        ]
    assert hub.subscribers == 0


async def test_only_the_newest_progress_waits() -> None:
    hub = Hub()
    with hub.subscribe() as updates:
        hub.publish("a", "status", {"s": "running"})
        for value in range(100):
            hub.publish("a", "progress", {"v": value})
            hub.publish("b", "progress", {"v": value})
        hub.publish("a", "status", {"s": "succeeded"})
        seen = [(await updates.get()).data for _ in range(4)]
    assert seen == [{"s": "running"}, {"v": 99}, {"v": 99}, {"s": "succeeded"}]


async def test_a_subscriber_that_does_not_read_is_let_go() -> None:
    hub = Hub()
    with hub.subscribe() as slow, hub.subscribe() as fast:
        for number in range(QUEUE_LIMIT + 1):
            hub.publish("a", "status", {"n": number})
            assert (await fast.get()).data["n"] == number
        with pytest.raises(Overrun):
            await slow.get()


async def test_previews_make_room_first() -> None:
    hub = Hub()
    with hub.subscribe(previews=True) as updates:
        hub.publish("a", "preview", {}, b"image")
        for number in range(QUEUE_LIMIT):
            hub.publish("a", "status", {"n": number})
        assert (await updates.get()).data == {"n": 0}


async def test_closing_ends_all_streams_after_what_waits() -> None:
    hub = Hub()
    with hub.subscribe() as updates:
        hub.publish("a", "status", {})
        waiting = asyncio.create_task(updates.get())
        await waiting
        hub.close()
        with pytest.raises(Closed):
            await updates.get()
    with hub.subscribe() as late, pytest.raises(Closed):
        await late.get()


def test_resuming() -> None:
    hub = Hub()
    hub.publish("a", "status", {"n": 1})
    last = hub.last_id
    hub.publish("a", "progress", {"n": 2})
    hub.publish("b", "status", {"n": 3})
    hub.publish("a", "preview", {"n": 4}, b"x")
    assert [update.data["n"] for update in hub.since("a", last)] == [2]
    assert [update.data["n"] for update in hub.since("a", 0)] == [1, 2]
    assert hub.since("unknown", 0) == []
    ids = [update.id for update in hub.since("a", 0)]
    assert ids == sorted(ids)
    assert ids[-1] < 2**53, "exact in JavaScript"
