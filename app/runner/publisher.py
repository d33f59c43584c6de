"""Publishes the state of a run to subscribers, with its estimated end."""

from app.comfyui.events import Preview
from app.db.run_times import RunTimes
from app.events.hub import Hub
from app.runner.eta import Seen, is_waiting
from app.runner.expectation import SeenOn, expected_on
from app.servers.server import Server
from app.tasks.view import UNKNOWN, Expected, progress_view, task_view


class ProgressPublisher:
    """Publishes one run on one server. `seen_on` returns the tasks of all gateways there."""

    def __init__(self, hub: Hub, run_times: RunTimes, server: Server, seen_on: SeenOn) -> None:
        self._hub = hub
        self._run_times = run_times
        self._server = server
        self._seen_on = seen_on

    def status(self, seen: Seen) -> None:
        view = task_view(seen.task, seen.progress, self._expected(seen))
        self._hub.publish(seen.task.task_id, "status", view)

    def progress(self, seen: Seen) -> None:
        view = progress_view(seen.task, seen.progress, self._expected(seen))
        self._hub.publish(seen.task.task_id, "progress", view)

    def preview(self, task_id: str, node_id: str | None, preview: Preview) -> None:
        about = {"task_id": task_id, "node_id": node_id, "content_type": preview.content_type}
        self._hub.publish(task_id, "preview", about, preview.image)

    def _expected(self, seen: Seen) -> Expected:
        if seen.task.finished or is_waiting(seen.task):
            return UNKNOWN
        return expected_on(self._server, seen, self._seen_on, self._run_times)
