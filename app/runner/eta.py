"""How long tasks will take: what is left of a run, when a server is free, when a task is done.

All in seconds, all guesses from past runs of the same workflow shape; None while nothing is known.
"""

import time
from collections.abc import Iterable
from typing import NamedTuple

from app.db.run_times import DEFAULT_SECONDS, RunTime, RunTimes
from app.tasks.model import Progress, Status, Task

TELLING = 0.05  # progress from which on it tells something of a run that is the first of its kind


class Seen(NamedTuple):
    """A task on a server, as it is seen now. Most nodes tell nothing while they work, so what is
    known of its progress grows old: `still` is for how many seconds there was no other one.

    `blind`: nobody would have heard of any, the socket is down. `asked_at`: since when its server
    owes an answer to the prompt, in seconds since 1970.
    """

    task: Task
    progress: Progress
    still: float
    blind: bool = False
    asked_at: float | None = None


def seen_in_row(task: Task) -> Seen:
    """A task that another process drives. When its node began follows from what those before it
    took; a node that tells of steps is taken to go on telling."""
    progress = task.progress
    if task.started_at is None or progress.step is not None:
        return Seen(task, progress, 0.0)
    over = sum(seconds or 0.0 for seconds in progress.node_seconds.values())
    return Seen(task, progress, max(time.time() - task.started_at - over, 0.0))


def remaining(seen: Seen, run_times: RunTimes) -> float | None:
    """What is left of a task that is on a server, whether it runs yet or waits there. It becomes
    less as time goes by, until more than the node at work should take has gone."""
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
    """What the node at work should take from its last step on; of one that is not known, all."""
    seconds = known.nodes.get(progress.current_node or "", known.seconds)
    if progress.step is None or not progress.steps:
        return seconds
    return seconds * max(1 - progress.step / progress.steps, 0.0)


def wait_of(ours: Iterable[Seen], strangers: int, run_times: RunTimes) -> float:
    """When a server that holds these tasks of ours, and some of strangers, is through with all."""
    average = run_times.average or DEFAULT_SECONDS
    return sum(_left_or_guess(seen, run_times) for seen in ours) + strangers * average


def _left_or_guess(seen: Seen, run_times: RunTimes) -> float:
    left = remaining(seen, run_times)
    if left is not None:
        return left
    return max(DEFAULT_SECONDS - (time.time() - (seen.task.started_at or time.time())), 0.0)


def eta_of_queued(task: Task, waits: list[float], run_times: RunTimes) -> float | None:
    """When a task in our queue will be done. `waits`: of each server that could run it."""
    average = run_times.average
    if task.queue_position is None or average is None or not waits:
        return None
    ahead = task.queue_position.seconds_ahead + task.queue_position.unknown_ahead * average
    own = task.expected if task.expected is not None else average
    return (sum(waits) + ahead) / len(waits) + own


def rounded(seconds: float | None) -> float | None:
    """Tenths are precise enough for a guess."""
    return None if seconds is None else round(seconds, 1)


def is_waiting(task: Task) -> bool:
    """In our queue, on no server."""
    return task.status is Status.QUEUED and task.server is None
