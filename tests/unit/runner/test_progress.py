"""The progress of a task from ComfyUI's events."""

from typing import Any

import pytest

from app.comfyui.events import Executed, Executing, ExecutionCached, NodeState, ProgressState
from app.comfyui.events import Progress as Step
from app.runner import progress
from app.runner.progress import LARGE_WORKFLOW_NODES, Tracker
from app.tasks.model import Progress
from tests.conftest import text_to_image


def prompt_of(nodes: int) -> dict[str, dict[str, object]]:
    return {str(number): {"class_type": "A", "inputs": {}} for number in range(nodes)}


def test_the_progress_of_a_large_workflow_is_counted_now_and_then() -> None:
    nodes = 1000
    tracker = Tracker(prompt_of(nodes))
    told = [
        tracker.apply(Executing("p", str(number), str(number)), now=1 + number / 1e6)
        for number in range(nodes)
    ]
    assert sum(told) == 1
    done = {str(number): NodeState("finished", 1, 1) for number in range(nodes)}
    assert tracker.apply(ProgressState("p", done), now=1 + nodes * progress.A_NODE)
    assert (tracker.progress.value, tracker.progress.nodes_done) == (1.0, nodes)


def test_that_of_a_usual_one_with_every_event() -> None:
    tracker = Tracker(prompt_of(progress.LARGE_WORKFLOW_NODES))
    assert all(tracker.apply(Executing("p", str(n), str(n)), now=1.0) for n in range(100))


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


@pytest.mark.parametrize("nodes", [3, LARGE_WORKFLOW_NODES, LARGE_WORKFLOW_NODES + 1, 1000])
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


def test_events_that_come_together_are_counted_with_the_last() -> None:
    one, other = Tracker(text_to_image()), Tracker(text_to_image())
    kinds: list[Any] = [
        ExecutionCached("p", ("4",)),
        Executing("p", "6", "6"),
        ProgressState("p", {"6": NodeState("finished", 1, 1)}),
        Executing("p", "3", "3"),
        Step("p", "3", 3, 4),
    ]
    for at, event in enumerate(kinds):
        one.apply(event, float(at))
        is_last = at == len(kinds) - 1
        assert other.apply(event, float(at), more=not is_last) == is_last
        if at == 2:
            assert other.progress == one.progress, "who looks in between sees what there is"
    assert other.progress == one.progress
    assert other.still(5.0) == one.still(5.0)


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
