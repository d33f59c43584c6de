"""Estimates of the remaining time of a run, the wait for a server, and the end of a task.

All values are in seconds and derive from past runs of the same workflow shape; None means that
nothing is known yet.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from app.db.run_times import DEFAULT_SECONDS, RunTime, RunTimes
from app.tasks.model import Progress, Status, Task

TELLING = 0.05  # minimum progress to extrapolate from in the first run of a shape


class Seen(NamedTuple):
    """A task on a server with its latest progress.

    Most nodes report nothing while they work, so the progress becomes outdated: `still` is the
    number of seconds since it last changed. `blind`: the socket is down, so that changes would be
    missed. `asked_at`: since when the POST of the prompt waits for its answer, as a Unix timestamp.
    `has_begun`: it runs, though its row does not say so yet.
    """

    task: Task
    progress: Progress
    still: float
    blind: bool = False
    asked_at: float | None = None
    has_begun: bool = False


def seen_in_row(task: Task) -> Seen:
    """Return the progress of a task that another process drives.

    The start of the current node is computed from the times of the finished nodes. A node that
    reports steps is assumed to keep reporting.
    """
    progress = task.progress
    if task.started_at is None or progress.step is not None:
        return Seen(task, progress, 0.0)
    over = sum(seconds or 0.0 for seconds in progress.node_seconds.values())
    return Seen(task, progress, max(time.time() - task.started_at - over, 0.0))


def remaining(seen: Seen, run_times: RunTimes) -> float | None:
    """Return the remaining seconds of a task that runs on a server or waits in the server's queue.

    The value decreases with time, but only until the expected time of the current node is used up.
    """
    task, value = seen.task, seen.progress.value
    known = run_times.known(task.shape, task.server)
    if task.started_at is None:
        return known.seconds if known else run_times.average
    elapsed = time.time() - task.started_at
    if known is not None:
        left = known.seconds * (1 - value)
        if seen.blind:
            return max(min(left, known.seconds - elapsed), 0.0)
        return max(left - min(seen.still, _left_of_node(seen.progress, known)), 0.0)
    if value < TELLING:
        return None
    return max((elapsed - seen.still) * (1 - value) / value - seen.still, 0.0)


def _left_of_node(progress: Progress, known: RunTime) -> float:
    """Return the expected time of the current node from its last step; for an unknown node, all of
    it."""
    seconds = known.nodes.get(progress.current_node or "", known.seconds)
    if progress.step is None or not progress.steps:
        return seconds
    return seconds * max(1 - progress.step / progress.steps, 0.0)


def wait_of(ours: Iterable[Seen], strangers: int, run_times: RunTimes) -> float:
    """Return the seconds until a server has finished `ours` and `strangers` prompts of others."""
    average = run_times.average or DEFAULT_SECONDS
    return sum(_left_or_guess(seen, run_times) for seen in ours) + strangers * average


def _left_or_guess(seen: Seen, run_times: RunTimes) -> float:
    left = remaining(seen, run_times)
    if left is not None:
        return left
    return max(DEFAULT_SECONDS - (time.time() - (seen.task.started_at or time.time())), 0.0)


def eta_of_queued(task: Task, waits: list[float], run_times: RunTimes) -> float | None:
    """Return the seconds until a queued task is done; `waits` has one value per eligible server."""
    average = run_times.average
    if task.queue_position is None or average is None or not waits:
        return None
    ahead = task.queue_position.seconds_ahead + task.queue_position.unknown_ahead * average
    own = task.expected if task.expected is not None else average
    return (sum(waits) + ahead) / len(waits) + own


def rounded(seconds: float | None) -> float | None:
    """Round to tenths: an estimate is no more precise."""
    return None if seconds is None else round(seconds, 1)


def is_waiting(task: Task) -> bool:
    """Return whether the task is queued and assigned to no server."""
    return task.status is Status.QUEUED and task.server is None
