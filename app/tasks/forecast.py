"""How long tasks will take: what is left of a run, when a server is free, when a task is done.

All in seconds, all guesses from past runs of the same workflow shape; None while nothing is known.
"""

import time

from app.tasks.estimates import GUESS, Estimates
from app.tasks.model import Progress, Status, Task

TELLING = 0.05  # progress from which on it tells something of a run that is the first of its kind


def remaining(task: Task, progress: Progress, estimates: Estimates) -> float | None:
    """What is left of a task that is on a server, whether it runs yet or waits there."""
    known = estimates.known(task.shape, task.server)
    if task.started_at is None:
        return known.seconds if known else estimates.average
    if known is not None:
        return max(known.seconds * (1 - progress.value), 0.0)
    if progress.value < TELLING:
        return None
    elapsed = time.time() - task.started_at
    return max(elapsed * (1 - progress.value) / progress.value, 0.0)


def wait_of(tasks: list[tuple[Task, Progress]], queue_length: int, estimates: Estimates) -> float:
    """When a server that holds these tasks of ours, and some of strangers, is through with all."""
    ours = sum(
        guess if (guess := remaining(task, progress, estimates)) is not None else GUESS
        for task, progress in tasks
    )
    strangers = max(queue_length - len(tasks), 0)
    return ours + strangers * (estimates.average or GUESS)


def eta_of_queued(task: Task, waits: list[float], estimates: Estimates) -> float | None:
    """When a task in our queue will be done. `waits`: of each server that could run it."""
    average = estimates.average
    if task.place is None or average is None or not waits:
        return None
    ahead = task.place.seconds_ahead + task.place.unknown_ahead * average
    own = task.expected if task.expected is not None else average
    return (sum(waits) + ahead) / len(waits) + own


def rounded(seconds: float | None) -> float | None:
    """Tenths are precise enough for a guess."""
    return None if seconds is None else round(seconds, 1)


def is_waiting(task: Task) -> bool:
    """In our queue, on no server."""
    return task.status is Status.QUEUED and task.server is None
