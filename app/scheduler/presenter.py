"""Tasks as JSON, with their estimated end or the reason why they wait."""

from collections.abc import Callable, Iterable

from app.db.queue import Queue
from app.db.requirements import Requirements
from app.db.run_times import RunTimes
from app.runner.eta import Seen, eta_of_queued, is_waiting, rounded, seen_in_row
from app.runner.expectation import expected_on, unknown_on, wait_on
from app.scheduler.dispatcher import Dispatcher
from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.model import Task
from app.tasks.task_json import TaskJson
from app.tasks.truncation import MAX_STREAM_BYTES
from app.tasks.view import Expected, task_view
from app.workflows.requirements import Needs

OF_ITS_CLIENT = (
    "another task of its client is at work: servers have {} of them at a time, which is the "
    "setting COMFYUI_NATIVE_PARALLEL."
)


class TaskPresenter:
    def __init__(
        self,
        pool: Pool,
        queue: Queue,
        run_times: RunTimes,
        dispatcher: Dispatcher,
        seen_elsewhere: Callable[[Task], Seen] = seen_in_row,
    ) -> None:
        """`seen_elsewhere` returns the progress of a task that another process drives."""
        self._pool = pool
        self._queue = queue
        self._run_times = run_times
        self._dispatcher = dispatcher
        self._seen_elsewhere = seen_elsewhere

    def view(self, task: Task, room: int | None = MAX_STREAM_BYTES) -> TaskJson:
        """Return the task as JSON, with live progress and estimates.

        Its fields are truncated to `room` bytes; None for no limit.
        """
        if task.finished:
            return task_view(task, room=room)
        seen = self.seen(task)
        return task_view(task, seen.progress, self._expected(task, seen), room)

    def seen(self, task: Task) -> Seen:
        """Return the task with its live progress, whoever drives it."""
        return self._dispatcher.seen(task.task_id) or self._seen_elsewhere(task)

    def _expected(self, task: Task, seen: Seen) -> Expected:
        if is_waiting(task):
            return self._expected_of_waiting(task)
        server = self._pool.get(task.server or "") if task.server in self._pool else None
        seen_on = self._dispatcher.seen_on
        return expected_on(server, seen._replace(task=task), seen_on, self._run_times)

    def _expected_of_waiting(self, task: Task) -> Expected:
        """Return the estimate for a queued task.

        `waiting_for` is why it cannot start, other than tasks ahead of it.
        """
        servers = [s for s in self._pool if task.wanted_server in (None, s.id)]
        if not servers:
            wanted = task.wanted_server or "a ComfyUI server"
            return Expected(waiting_for=f"{wanted} is not among the servers.")
        requirements = self._requirements(task)
        able = self._pool.able(*requirements)
        if not able:
            lacks = (f"{s.id} {_lack(s, requirements.needs)}" for s in servers)
            return Expected(waiting_for=_sentence(lacks))
        barred = {s.id for s in able if task.owner in s.barred}
        taking = [s for s in able if s.accepting and s.id not in barred]
        refusals = self._refusals(requirements.needs)
        if not taking:
            states = (f"{s.id} is {_state(s, barred=s.id in barred)}" for s in able)
            return Expected(waiting_for=_sentence([*states, *refusals]))
        held = {server.id: self._dispatcher.seen_on(server) for server in taking}
        if self._lane_is_full(task):
            return Expected(waiting_for=OF_ITS_CLIENT.format(self._queue.in_lane))
        unknown = {
            s.id: unknown_on(s, held[s.id], len(held[s.id]), self._run_times) for s in taking
        }
        if all(unknown.values()):
            return Expected(waiting_for=_sentence([*map(str, unknown.values()), *refusals]))
        waits = [wait_on(s, held[s.id], self._run_times) for s in taking if not unknown[s.id]]
        eta = rounded(eta_of_queued(task, waits, self._run_times))
        return Expected(eta, _sentence(refusals) if refusals else None)

    def _lane_is_full(self, task: Task) -> bool:
        """Return whether servers have as many tasks of its client as they may."""
        lane = task.native and task.native.lane
        if lane is None:
            return False
        seen = (one.task for server in self._pool for one in self._dispatcher.seen_on(server))
        ours = sum(one.native is not None and one.native.lane == lane for one in seen)
        return ours >= self._queue.in_lane

    def _refusals(self, needs: Needs) -> list[str]:
        """Return the refusals by servers that could run the task otherwise."""
        refused = needs.refused
        return sorted(f"{r.server} refuses {r.reason}" for r in refused if r.server in self._pool)

    def _requirements(self, task: Task) -> Requirements:
        return self._queue.requirements.get(task.requirements_id) or Requirements(
            Needs(), task.wanted_server
        )


def _state(server: Server, *, barred: bool) -> str:
    """Return why the server accepts no tasks: its state, or its own words."""
    if barred:
        return "failing"
    if server.state == "failing" and server.door.reason:
        return f"failing: {server.door.reason}"
    return server.state if server.state != "online" else "being looked over"


def _sentence(parts: Iterable[str]) -> str:
    return f"{'; '.join(part.rstrip('.') for part in parts)}."


def _lack(server: Server, needs: Needs) -> str:
    if not server.node_types:
        return "has not told its node types yet" if server.online else f"is {server.state}"
    refused = next((r.reason for r in needs.refused if r.server == server.id), None)
    return f"refuses {refused}" if refused else f"lacks {server.lacks(needs)}"
