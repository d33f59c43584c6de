"""When a task on a server should be done, or why that cannot be estimated."""

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from app.db.run_times import RunTimes
from app.runner.eta import Seen, remaining, rounded, wait_of
from app.servers.server import Server
from app.tasks.model import Task
from app.tasks.view import Expected

# Returns the tasks that the gateways of this installation have on a server
SeenOn = Callable[[Server], Sequence[Seen]]

ANSWERS = 5.0  # seconds in which a server should answer the POST of a prompt


def expected_on(
    server: Server | None, seen: Seen, seen_on: SeenOn, run_times: RunTimes
) -> Expected:
    """Return the estimate for a task on a server, or why there is none.

    `server` is None if the server was removed. `seen_on` is called only for a task that waits:
    a running one is published at each step.
    """
    task = seen.task
    if server is None or not server.online:
        away = _away(task, server)
        if task.started_at is None:
            return Expected(waiting_for=f"its server {away}")
        return Expected(warning=f"Its server {away} Whether the task goes on there is not known.")
    if server.stalled or (task.started_at is None and (server.draining or server.removed)):
        state = "stalled" if server.stalled else "draining"
        why = f"its server {server.id} is {state}: the task is taken off it."
        return Expected(waiting_for=why if task.started_at is None else None)
    if task.started_at is not None:
        return Expected(rounded(remaining(seen, run_times)))
    others = [one for one in seen_on(server) if one.task.task_id != task.task_id]
    before = [one for one in others if _turn(one.task) < _turn(task)]
    unknown = unanswered(server, [seen]) or unknown_on(server, before, len(others) + 1, run_times)
    if unknown:
        return Expected(waiting_for=unknown)
    if not run_times.average:
        return Expected(rounded(remaining(seen, run_times)))
    return Expected(rounded(wait_of([*before, seen], 0, run_times)))


def unknown_on(
    server: Server, before: Sequence[Seen], ours: int, run_times: RunTimes
) -> str | None:
    """Return why the time that `before` takes cannot be estimated; None if it can.

    An unknown time does not count down, so an ETA based on it would stand still. `ours`: how many
    of the prompts that the server holds are known to be of this installation.
    """
    if stalled_for := unanswered(server, before):
        return stalled_for
    if strangers := strangers_on(server, ours):
        what = "a prompt" if strangers == 1 else f"{strangers} prompts"
        return f"{server.id} has {what} of others in its queue; how long that takes is not known."
    if any(one.task.started_at and remaining(one, run_times) is None for one in before):
        return f"{server.id} runs a task that is the first of its kind; its time is not known yet."
    return None


def unanswered(server: Server, ours: Iterable[Seen]) -> str | None:
    """Return a message if the server has not answered the POST of a prompt for over ANSWERS
    seconds."""
    asked = min((seen.asked_at for seen in ours if seen.asked_at is not None), default=None)
    if asked is None or time.time() - asked < ANSWERS:
        return None
    since = datetime.fromtimestamp(asked, UTC).isoformat(timespec="seconds")
    return f"{server.id} was sent a task, and has not answered since {since[:-6]}Z."


def wait_on(server: Server, ours: Sequence[Seen], run_times: RunTimes) -> float:
    """Return the estimated seconds until the server has finished everything that it holds."""
    return wait_of(ours, strangers_on(server, len(ours)), run_times)


def strangers_on(server: Server, ours: int) -> int:
    """Return how many prompts the server holds that no gateway of this installation sent.

    `ours` of them are known to be of this installation. 0 while the socket is down, as the queue
    length is not reported then.
    """
    ours += max(server.held_beside, 0)
    return max(server.queue_length - ours, 0) if server.connected else 0


def _away(task: Task, server: Server | None) -> str:
    if server is None:
        return f"{task.server} is not among the servers any more."
    reason = server.health.reason or ""
    return f"{server.id} is offline{': ' if reason else ''}{reason.rstrip('.')}."


def _turn(task: Task) -> tuple[bool, float, int]:
    """Sort key: the order in which a server runs the prompts that it holds."""
    handed_over = task.submitted_at if task.submitted_at is not None else float("inf")
    return task.started_at is None, handed_over, task.seq
