"""What a client may expect of a task: when it should be done, and what it waits for."""

from typing import Any

from app.servers.pool import Pool
from app.servers.server import Server
from app.tasks.cuts import STREAM
from app.tasks.dispatcher import Dispatcher
from app.tasks.estimates import Estimates
from app.tasks.forecast import eta_of_queued, is_waiting, remaining, rounded
from app.tasks.model import Progress, Task
from app.tasks.queue import Queue
from app.tasks.routes import Route
from app.tasks.view import task_view
from app.workflows.needs import Needs

Json = dict[str, Any]


class Forecaster:
    def __init__(
        self, pool: Pool, queue: Queue, estimates: Estimates, dispatcher: Dispatcher
    ) -> None:
        self._pool = pool
        self._queue = queue
        self._estimates = estimates
        self._dispatcher = dispatcher

    def view(self, task: Task, room: int | None = STREAM) -> Json:
        """The task as JSON, with live progress and what is to be expected; its fields cut to `room`
        bytes, None: whole."""
        if task.finished:
            return task_view(task, room=room)
        live = self._dispatcher.progress_of(task.task_id)
        eta = self.eta_seconds(task, live or task.progress)
        return task_view(task, live, eta, self.waiting_for(task), room)

    def eta_seconds(self, task: Task, progress: Progress) -> float | None:
        """Seconds until the task should be done; None while nothing is known of its like."""
        if is_waiting(task):
            waits = [self._dispatcher.wait_of(s) for s in self._candidates(task) if s.accepting]
            return rounded(eta_of_queued(task, waits, self._estimates))
        if task.started_at is None and task.server in self._pool and self._estimates.average:
            return rounded(self._dispatcher.wait_of(self._pool.get(task.server or "")))
        return rounded(remaining(task, progress, self._estimates))

    def waiting_for(self, task: Task) -> str | None:
        """Why a queued task cannot start, beyond others being before it; None if it can."""
        if not is_waiting(task):
            return None
        servers = [s for s in self._pool if task.wanted_server in (None, s.id)]
        if not servers:
            wanted = task.wanted_server or "a ComfyUI server"
            return f"{wanted} is not among the servers."
        able = self._candidates(task)
        if not able:
            return "; ".join(f"{s.id} {_lack(s, self._route(task).needs)}" for s in servers) + "."
        barred = {s.id for s in able if task.key_name in s.breaker.barred}
        if any(server.accepting and server.id not in barred for server in able):
            return None
        states = (f"{s.id} is {'failing' if s.id in barred else s.state}" for s in able)
        return "; ".join(states) + "."

    def _candidates(self, task: Task) -> list[Server]:
        """The servers that could run it, as far as is known."""
        return self._pool.able(*self._route(task))

    def _route(self, task: Task) -> Route:
        return self._queue.routes.get(task.route) or Route(Needs(), task.wanted_server)


def _lack(server: Server, needs: Needs) -> str:
    if not server.node_types:
        return f"is {server.state}"
    return f"lacks {server.lacks(needs)}"
